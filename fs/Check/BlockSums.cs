namespace ZfsLite.Fs;

/// <summary>Sums over blocks, as accounts keep them, and a hash of the set that does not depend on the order.</summary>
internal struct BlockSums
{
    internal ulong Count;
    internal ulong Bytes;
    internal ulong Compressed;
    internal ulong Uncompressed;
    internal ulong Hash;

    internal void Add(in Blkptr bp)
    {
        Count++;
        Bytes += bp.Asize;
        Compressed += (uint)bp.PhysicalSize;
        Uncompressed += (uint)bp.UncompressedSize;
        ulong h = bp.Dva0.Word1 * 0x9E3779B97F4A7C15;
        h ^= (bp.Dva0.Word0 * 0xC2B2AE3D27D4EB4F) + bp.Birth;
        h ^= h >> 29;
        Hash += h * 0xBF58476D1CE4E5B9;
    }

    internal void Add(in BlockSums other)
    {
        Count += other.Count;
        Bytes += other.Bytes;
        Compressed += other.Compressed;
        Uncompressed += other.Uncompressed;
        Hash += other.Hash;
    }
}
