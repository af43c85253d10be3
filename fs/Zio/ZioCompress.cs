using System.IO.Compression;
using System.Runtime.CompilerServices;

namespace ZfsLite.Fs;

/// <summary>
/// Compression of blocks. lzjb and zle are our own and allocate nothing; gzip is one zlib stream of the framework, level 1
/// to 9. A block is stored compressed only if that saves an eighth, in whole sectors of 512 bytes.
/// </summary>
public static unsafe class ZioCompress
{
    [ThreadStatic]
    private static NativeStream? t_stream;

    /// <summary>
    /// Compresses <paramref name="srcLen"/> bytes into <paramref name="dst"/> (room for srcLen bytes). Returns the stored size,
    /// a multiple of 512 whose tail is zero-filled, or 0 if the block is to be stored as it is.
    /// </summary>
    public static int Compress(ZioCompressType type, byte* src, int srcLen, byte* dst)
    {
        int budget = (srcLen - (srcLen >> 3)) & ~511;
        if (budget == 0)
        {
            return 0;
        }

        int n = type switch
        {
            ZioCompressType.Lzjb or ZioCompressType.On => Lzjb.Compress(src, srcLen, dst, budget),
            ZioCompressType.Zle => Zle.Compress(src, srcLen, dst, budget),
            >= ZioCompressType.Gzip1 and <= ZioCompressType.Gzip9 => Deflate(type - ZioCompressType.Gzip1 + 1, src, srcLen, dst, budget),
            ZioCompressType.Off => 0,
            _ => throw new InvalidOperationException($"compression function {type}"),
        };
        if (n == 0)
        {
            return 0;
        }

        int psize = (n + 511) & ~511;
        Unsafe.InitBlockUnaligned(dst + n, 0, (uint)(psize - n));
        return psize;
    }

    /// <summary>
    /// Fills exactly <paramref name="lsize"/> bytes of <paramref name="dst"/> from <paramref name="psize"/> stored bytes. False
    /// if they are not what the function would have written; never reads or writes past either bound.
    /// </summary>
    public static bool Decompress(ZioCompressType type, byte* src, int psize, byte* dst, int lsize)
    {
        switch (type)
        {
            case ZioCompressType.Lzjb or ZioCompressType.On:
                return Lzjb.Decompress(src, psize, dst, lsize);
            case ZioCompressType.Zle:
                return Zle.Decompress(src, psize, dst, lsize);
            case >= ZioCompressType.Gzip1 and <= ZioCompressType.Gzip9:
                return Inflate(src, psize, dst, lsize);
            case ZioCompressType.Off when psize == lsize:
                Unsafe.CopyBlockUnaligned(dst, src, (uint)lsize);
                return true;
            default:
                return false;
        }
    }

    /// <summary>True if every byte is zero: such a block becomes a hole when compression is on.</summary>
    public static bool IsAllZero(byte* data, int size) => !new ReadOnlySpan<byte>(data, size).ContainsAnyExcept((byte)0);

    private static int Deflate(int level, byte* src, int length, byte* dst, int room)
    {
        NativeStream target = t_stream ??= new NativeStream();
        target.Reset(dst, room);
        using (var zlib = new ZLibStream(target, new ZLibCompressionOptions { CompressionLevel = level }, leaveOpen: true))
        {
            // In pieces, so that a block that does not shrink is given up early.
            for (int done = 0; done < length && !target.Overflowed;)
            {
                int n = Math.Min(32768, length - done);
                zlib.Write(new ReadOnlySpan<byte>(src + done, n));
                done += n;
            }
        }

        return target.Overflowed ? 0 : (int)target.Position;
    }

    private static bool Inflate(byte* src, int psize, byte* dst, int lsize)
    {
        NativeStream source = t_stream ??= new NativeStream();
        source.Reset(src, psize);
        try
        {
            using var zlib = new ZLibStream(source, CompressionMode.Decompress, leaveOpen: true);
            var target = new Span<byte>(dst, lsize);
            if (zlib.ReadAtLeast(target, lsize, throwOnEndOfStream: false) != lsize)
            {
                return false;
            }

            // Nothing may follow; reaching the end also checks the stream's own sum.
            Span<byte> more = stackalloc byte[1];
            return zlib.Read(more) == 0;
        }
        catch (InvalidDataException)
        {
            return false;
        }
    }
}
