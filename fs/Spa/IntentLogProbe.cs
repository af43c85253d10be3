using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>
/// Tells whether an intent log holds records. A log that was closed cleanly may keep one allocated block that was never written:
/// the chain ends where a block can't be read or its embedded checksum does not match (format sheet §8.2).
/// </summary>
internal static unsafe class IntentLogProbe
{
    private const int ChainBytes = 184;
    private const int NusedOffset = 136;
    private const int EckOffset = 144;
    private const int ChecksumOffset = 152;
    private const ulong EckMagic = 0x0210da7ab10c7a11;

    /// <summary>True if the first block of the chain is a valid log block with records in it, or of a form not understood here.</summary>
    internal static bool HasRecords(IReadOnlyList<Vdev?> vdevs, in ZilHeader header)
    {
        Blkptr bp = header.Log;
        if (bp.IsHole)
        {
            return false;
        }

        if (bp.ChecksumType != ZioChecksumType.Zilog2 || bp.LogicalSize < 4096)
        {
            return true;
        }

        int size = bp.LogicalSize;
        byte* block = ZioBuf.Alloc(size, KmFlags.Sleep);
        try
        {
            return ZioReader.ReadRaw(vdevs, bp.Dva0, block, size) == 0 && IsValidBlock(block, size, bp.Checksum)
                && *(ulong*)(block + NusedOffset) > ChainBytes;
        }
        finally
        {
            ZioBuf.Free(block, size);
        }
    }

    private static bool IsValidBlock(byte* block, int size, in Checksum256 verifier)
    {
        ulong nused = *(ulong*)(block + NusedOffset);
        if (*(ulong*)(block + EckOffset) != EckMagic || nused < ChainBytes || nused > (ulong)size)
        {
            return false;
        }

        var stored = *(Checksum256*)(block + ChecksumOffset);
        *(Checksum256*)(block + ChecksumOffset) = verifier;
        int covered = Math.Min(size, (int)(nused + 4095) & ~4095);
        return ZioChecksum.Compute(ZioChecksumType.Fletcher4, block, covered).Equals(stored);
    }
}
