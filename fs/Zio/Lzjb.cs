using System.Runtime.CompilerServices;

namespace ZfsLite.Fs;

/// <summary>
/// The lzjb codec: a copy map byte before every eight items, lowest bit first; an item is a literal byte, or two bytes that
/// name a match of 3 to 66 bytes at most 1023 bytes back.
/// </summary>
internal static unsafe class Lzjb
{
    private const int MinMatch = 3;
    private const int MaxMatch = 66;
    private const int MaxDistance = 1023;
    private const int TableSize = 1024;

    /// <summary>Bytes written, or 0 if they would not fit in <paramref name="room"/>.</summary>
    internal static int Compress(byte* src, int length, byte* dst, int room)
    {
        int* table = stackalloc int[TableSize];
        Unsafe.InitBlock(table, 0xff, TableSize * sizeof(int));
        int lastStart = length - MaxMatch;
        int s = 0, d = 0, map = 0, bit = 8;
        while (s < length)
        {
            if (bit == 8)
            {
                // The worst eight items take 1 + 16 bytes.
                if (d + 17 > room)
                {
                    return 0;
                }

                map = d++;
                dst[map] = 0;
                bit = 0;
            }

            int matched = 0, distance = 0;
            if (s <= lastStart)
            {
                uint three = Unsafe.ReadUnaligned<uint>(src + s) & 0xffffff;
                int slot = (int)((three * 2654435761u) >> 22);
                int candidate = table[slot];
                table[slot] = s;
                distance = s - candidate;
                if (candidate >= 0 && distance <= MaxDistance
                    && (Unsafe.ReadUnaligned<uint>(src + candidate) & 0xffffff) == three)
                {
                    matched = MatchLength(src + candidate, src + s);
                }
            }

            if (matched != 0)
            {
                dst[map] |= (byte)(1 << bit);
                dst[d++] = (byte)(((matched - MinMatch) << 2) | (distance >> 8));
                dst[d++] = (byte)distance;
                s += matched;
            }
            else
            {
                dst[d++] = src[s++];
            }

            bit++;
        }

        return d;
    }

    /// <summary>Fills <paramref name="size"/> bytes; false if the input is not lzjb or too short.</summary>
    internal static bool Decompress(byte* src, int length, byte* dst, int size)
    {
        int s = 0, d = 0, map = 0, bit = 8;
        while (d < size)
        {
            if (bit == 8)
            {
                if (s >= length)
                {
                    return false;
                }

                map = src[s++];
                bit = 0;
            }

            if (((map >> bit) & 1) == 0)
            {
                if (s >= length)
                {
                    return false;
                }

                dst[d++] = src[s++];
            }
            else
            {
                if (s + 2 > length)
                {
                    return false;
                }

                int matched = (src[s] >> 2) + MinMatch;
                int distance = ((src[s] << 8) | src[s + 1]) & MaxDistance;
                s += 2;
                if (distance == 0 || distance > d)
                {
                    return false;
                }

                matched = Math.Min(matched, size - d);
                Copy(dst + d, distance, matched);
                d += matched;
            }

            bit++;
        }

        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Copy(byte* to, int distance, int length)
    {
        byte* from = to - distance;
        if (distance >= length)
        {
            Unsafe.CopyBlockUnaligned(to, from, (uint)length);
        }
        else if (distance == 1)
        {
            Unsafe.InitBlockUnaligned(to, *from, (uint)length);
        }
        else
        {
            for (int i = 0; i < length; i++)
            {
                to[i] = from[i];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int MatchLength(byte* earlier, byte* here)
    {
        int n = MinMatch;
        while (n < MaxMatch && earlier[n] == here[n])
        {
            n++;
        }

        return n;
    }
}
