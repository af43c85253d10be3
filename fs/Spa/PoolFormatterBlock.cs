using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>A block of a pool that is being formatted: its place is fixed first, its contents are written when they are final.</summary>
internal sealed class PoolFormatterBlock(DmuOt type, int level, byte[] data, Dva[] dvas)
{
    /// <summary>The contents.</summary>
    internal byte[] Data { get; } = data;

    /// <summary>Space of all copies.</summary>
    internal ulong Asize => dvas.Aggregate(0UL, static (sum, d) => sum + d.Asize);

    /// <summary>Writes all copies, zero-padded to their sectors, and gives the block pointer.</summary>
    /// <param name="vdevs">Top-level vdevs, by id.</param>
    /// <param name="txg">Birth.</param>
    /// <param name="fill">Fill count.</param>
    internal unsafe Blkptr Write(IReadOnlyList<Vdev> vdevs, ulong txg, ulong fill)
    {
        int padded = (int)dvas.Max(static d => d.Asize);
        byte* buffer = ZioBuf.Alloc(padded, KmFlags.Sleep);
        try
        {
            var span = new Span<byte>(buffer, padded);
            span.Clear();
            Data.CopyTo(span);
            foreach (Dva dva in dvas)
            {
                Vdev v = vdevs[(int)dva.Vdev];
                ReadOnlySpan<IoSegment> one = [new IoSegment((nint)buffer, (int)dva.Asize)];
                PoolFormatter.Check(v.Write(dva.Offset, one), v.Path, "write");
            }

            return new Blkptr
            {
                Dva0 = dvas[0],
                Dva1 = dvas.Length > 1 ? dvas[1] : default,
                Dva2 = dvas.Length > 2 ? dvas[2] : default,
                LogicalSize = Data.Length,
                PhysicalSize = Data.Length,
                Compress = ZioCompressType.Off,
                ChecksumType = ZioChecksumType.Fletcher4,
                Type = type,
                Level = level,
                IsLittleEndian = true,
                Birth = txg,
                Fill = fill,
                Checksum = ZioChecksum.Compute(ZioChecksumType.Fletcher4, buffer, Data.Length),
            };
        }
        finally
        {
            ZioBuf.Free(buffer, padded);
        }
    }
}
