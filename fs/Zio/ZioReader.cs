using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>
/// Reads a block as its pointer says: the first copy whose bytes fit the checksum, uncompressed. Bytes that don't fit are
/// never given out. Runs in the caller's thread, any thread; scratch comes from <see cref="ZioBuf"/>. Every size and offset
/// in the pointer is checked before it is used, so a hostile one is an error and no more.
/// </summary>
public static unsafe class ZioReader
{
    private const int GangHeaderSize = 512;
    private const int GangChildren = 3;
    private const int MaxGangDepth = 8;

    /// <summary>Most gang headers looked at for one copy; honest blocks of 128 KiB have at most 128.</summary>
    private const int MaxGangHeaders = 1024;

    /// <summary>
    /// Reads a block (not a hole) into <paramref name="dst"/>, room for its logical size. 0; EIO if no copy could be read;
    /// ECKSUM if one could and its bytes were wrong.
    /// </summary>
    /// <param name="vdevs">Top-level vdevs by id; null where there is none.</param>
    /// <param name="bp">The block.</param>
    /// <param name="dst">Destination, the caller's own. Undefined after an error.</param>
    public static int Read(IReadOnlyList<Vdev?> vdevs, in Blkptr bp, byte* dst) => Read(vdevs, bp, dst, out _);

    /// <summary>As above, and says which copies were bad.</summary>
    public static int Read(IReadOnlyList<Vdev?> vdevs, in Blkptr bp, byte* dst, out ZioReadReport report) =>
        Read(vdevs, bp, dst, null, out report);

    /// <summary>Reads one copy of a block, verified and uncompressed. 0, EIO or ECKSUM.</summary>
    public static int ReadCopy(IReadOnlyList<Vdev?> vdevs, in Blkptr bp, int copy, byte* dst) => ReadCopy(vdevs, bp, copy, dst, null);

    /// <summary>As the public one; the stored form of a compressed block may go into an element of <paramref name="pool"/>.</summary>
    internal static int Read(IReadOnlyList<Vdev?> vdevs, in Blkptr bp, byte* dst, Mempool? pool, out ZioReadReport report)
    {
        report = new ZioReadReport { GoodCopy = -1 };
        int result = Errno.EIO;
        if (Problem(bp) is not null)
        {
            return Errno.EIO;
        }

        for (int copy = 0; copy < 3; copy++)
        {
            if (!bp[copy].IsValid)
            {
                continue;
            }

            int error = ReadCopy(vdevs, bp, copy, dst, pool);
            if (error == 0)
            {
                report.GoodCopy = (sbyte)copy;
                return 0;
            }

            if (error == Errno.ECKSUM)
            {
                report.ChecksumErrors |= (byte)(1 << copy);
                result = Errno.ECKSUM;
            }
            else
            {
                report.IoErrors |= (byte)(1 << copy);
            }
        }

        return result;
    }

    private static int ReadCopy(IReadOnlyList<Vdev?> vdevs, in Blkptr bp, int copy, byte* dst, Mempool? pool)
    {
        if (Problem(bp) is not null)
        {
            return Errno.EIO;
        }

        int psize = bp.PhysicalSize;
        if (bp.Compress == ZioCompressType.Off)
        {
            int headers = 0;
            return ReadStored(vdevs, bp, copy, dst, 0, ref headers);
        }

        // From the reserve if need be: whoever holds this buffer waits for the disk and for nothing else, then gives it back.
        byte* stored = ZioBuf.Alloc(psize, pool, out bool pooled);
        try
        {
            int headers = 0;
            int error = ReadStored(vdevs, bp, copy, stored, 0, ref headers);
            if (error != 0)
            {
                return error;
            }

            return ZioCompress.Decompress(bp.Compress, stored, psize, dst, bp.LogicalSize) ? 0 : Errno.ECKSUM;
        }
        finally
        {
            ZioBuf.Free(stored, psize, pool, pooled);
        }
    }

    /// <summary>
    /// Reads <paramref name="size"/> bytes of one copy as they are, gang blocks not followed, nothing verified: for blocks of
    /// the intent log, whose checksum is inside.
    /// </summary>
    public static int ReadRaw(IReadOnlyList<Vdev?> vdevs, in Dva dva, byte* dst, int size)
    {
        Vdev? vdev = dva.Vdev < (uint)vdevs.Count ? vdevs[(int)dva.Vdev] : null;
        return vdev is null ? Errno.EIO : vdev.Read(dva.Offset, dst, size);
    }

    /// <summary>What is wrong with a pointer in itself; null if it can be read.</summary>
    public static string? Problem(in Blkptr bp)
    {
        if (bp.IsHole)
        {
            return "a hole";
        }

        if (bp.LogicalSize > ZioBuf.MaxSize || bp.PhysicalSize > bp.LogicalSize)
        {
            return $"sizes {bp.LogicalSize}/{bp.PhysicalSize}";
        }

        bool plain = bp.Compress == ZioCompressType.Off;
        if (plain ? bp.PhysicalSize != bp.LogicalSize : bp.Compress is not (ZioCompressType.Lzjb or ZioCompressType.Zle
            or (>= ZioCompressType.Gzip1 and <= ZioCompressType.Gzip9)))
        {
            return $"compression {bp.Compress} with sizes {bp.LogicalSize}/{bp.PhysicalSize}";
        }

        return ZioChecksum.IsBlockFunction(bp.ChecksumType) ? null : $"checksum function {bp.ChecksumType}";
    }

    /// <summary>
    /// Reads the header of a gang block and checks it: three pointers, unused ones holes. 0, EIO or ECKSUM.
    /// <paramref name="header"/> has room for 512 bytes.
    /// </summary>
    public static int ReadGangHeader(IReadOnlyList<Vdev?> vdevs, in Blkptr bp, int copy, byte* header)
    {
        int error = ReadRaw(vdevs, bp[copy], header, GangHeaderSize);
        return error != 0 ? error : ZioEck.Verify(header, GangHeaderSize, ZioEck.GangVerifier(bp)) ? 0 : Errno.ECKSUM;
    }

    /// <summary>The stored bytes of one copy, put together and verified.</summary>
    private static int ReadStored(IReadOnlyList<Vdev?> vdevs, in Blkptr bp, int copy, byte* dst, int depth, ref int headers)
    {
        int psize = bp.PhysicalSize;
        Dva dva = bp[copy];
        if (!dva.IsValid)
        {
            return Errno.EIO;
        }

        int error = dva.IsGang ? ReadGang(vdevs, bp, copy, dst, depth, ref headers) : ReadRaw(vdevs, dva, dst, psize);
        if (error != 0)
        {
            return error;
        }

        return bp.ChecksumType == ZioChecksumType.Off
            || ZioChecksum.Compute(bp.ChecksumType, dst, psize, !bp.IsLittleEndian).Equals(bp.Checksum) ? 0 : Errno.ECKSUM;
    }

    private static int ReadGang(IReadOnlyList<Vdev?> vdevs, in Blkptr bp, int copy, byte* dst, int depth, ref int headers)
    {
        if (depth >= MaxGangDepth || ++headers > MaxGangHeaders)
        {
            return Errno.EIO;
        }

        byte* header = stackalloc byte[GangHeaderSize];
        int error = ReadGangHeader(vdevs, bp, copy, header);
        if (error != 0)
        {
            return error;
        }

        int done = 0, psize = bp.PhysicalSize;
        for (int i = 0; i < GangChildren; i++)
        {
            Blkptr child = ((Blkptr*)header)[i];
            if (child.IsHole)
            {
                continue;
            }

            if (Problem(child) is not null || child.Compress != ZioCompressType.Off || child.PhysicalSize > psize - done)
            {
                return Errno.EIO;
            }

            error = ReadGangChild(vdevs, child, dst + done, depth, ref headers);
            if (error != 0)
            {
                return error;
            }

            done += child.PhysicalSize;
        }

        return done == psize ? 0 : Errno.EIO;
    }

    private static int ReadGangChild(IReadOnlyList<Vdev?> vdevs, in Blkptr child, byte* dst, int depth, ref int headers)
    {
        int result = Errno.EIO;
        for (int copy = 0; copy < 3; copy++)
        {
            if (child[copy].IsValid)
            {
                int error = ReadStored(vdevs, child, copy, dst, depth + 1, ref headers);
                if (error == 0)
                {
                    return 0;
                }

                result = error == Errno.ECKSUM ? error : result;
            }
        }

        return result;
    }
}
