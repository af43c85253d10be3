using System.Runtime.CompilerServices;

namespace ZfsLite.Fs;

/// <summary>The zle codec: runs of zeros. A length byte below 64 announces that many literals plus one, any other a run of zeros.</summary>
internal static unsafe class Zle
{
    private const int LiteralMax = 64;
    private const int ZerosMax = 192;

    /// <summary>A run of zeros shorter than this inside literals is cheaper as literals.</summary>
    private const int WorthBreaking = 3;

    /// <summary>Bytes written, or 0 if they would not fit in <paramref name="room"/>.</summary>
    internal static int Compress(byte* src, int length, byte* dst, int room)
    {
        int s = 0, d = 0;
        while (s < length)
        {
            int zeros = ZerosAt(src, s, length);
            if (zeros >= WorthBreaking || (zeros > 0 && s + zeros == length))
            {
                if (d >= room)
                {
                    return 0;
                }

                dst[d++] = (byte)(LiteralMax + zeros - 1);
                s += zeros;
                continue;
            }

            int start = s;
            while (s < length && s - start < LiteralMax)
            {
                if (src[s] == 0 && ZerosAt(src, s, Math.Min(length, s + WorthBreaking)) == WorthBreaking)
                {
                    break;
                }

                s++;
            }

            int literals = s - start;
            if (d + 1 + literals > room)
            {
                return 0;
            }

            dst[d++] = (byte)(literals - 1);
            Unsafe.CopyBlockUnaligned(dst + d, src + start, (uint)literals);
            d += literals;
        }

        return d;
    }

    /// <summary>Fills <paramref name="size"/> bytes; false if the input ends too soon.</summary>
    internal static bool Decompress(byte* src, int length, byte* dst, int size)
    {
        int s = 0, d = 0;
        while (d < size)
        {
            if (s >= length)
            {
                return false;
            }

            int token = src[s++];
            if (token < LiteralMax)
            {
                int n = token + 1;
                if (s + n > length)
                {
                    return false;
                }

                int take = Math.Min(n, size - d);
                Unsafe.CopyBlockUnaligned(dst + d, src + s, (uint)take);
                s += n;
                d += take;
            }
            else
            {
                int take = Math.Min(token + 1 - LiteralMax, size - d);
                Unsafe.InitBlockUnaligned(dst + d, 0, (uint)take);
                d += take;
            }
        }

        return true;
    }

    private static int ZerosAt(byte* src, int at, int length)
    {
        int n = 0;
        while (n < ZerosMax && at + n < length && src[at + n] == 0)
        {
            n++;
        }

        return n;
    }
}
