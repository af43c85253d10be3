namespace ZfsLite.Fs;

/// <summary>
/// A block of the log (format sheet §8.2): 184 bytes of chain header, then records. Written and checksummed are only as many bytes as
/// the records need, in units of 4 KiB.
/// </summary>
internal static unsafe class ZilBlock
{
    /// <summary>Bytes of the chain header.</summary>
    internal const int ChainSize = 184;

    /// <summary>Unit of what is written.</summary>
    internal const int Unit = 4096;

    /// <summary>Largest block.</summary>
    internal const int MaxSize = 131072;

    private const int NextOffset = 8;
    private const int UsedOffset = 136;
    private const int EckOffset = 144;

    /// <summary>The pointer of a log block: placed in one copy, its checksum words say which block of which chain it is.</summary>
    internal static Blkptr MakePointer(in Dva dva, int size, ulong txg, in Checksum256 chain) => new()
    {
        Dva0 = dva,
        LogicalSize = size,
        PhysicalSize = size,
        Compress = ZioCompressType.Off,
        ChecksumType = ZioChecksumType.Zilog2,
        Type = DmuOt.IntentLog,
        IsLittleEndian = true,
        Birth = txg,
        Checksum = chain,
    };

    /// <summary>The checksum words of the next block of the chain.</summary>
    internal static Checksum256 NextOf(in Checksum256 chain) => new(chain.W0, chain.W1, chain.W2, chain.W3 + 1);

    /// <summary>Fills in the chain header and the checksum. Returns the bytes to write.</summary>
    internal static int Seal(byte* block, int used, in Blkptr self, in Blkptr next)
    {
        new Span<byte>(block, ChainSize).Clear();
        int size = (used + Unit - 1) & ~(Unit - 1);
        new Span<byte>(block + used, size - used).Clear();
        *(Blkptr*)(block + NextOffset) = next;
        *(ulong*)(block + UsedOffset) = (ulong)used;
        ZioEck.Seal(ZioChecksumType.Zilog2, block, size, EckOffset, self.Checksum);
        return size;
    }

    /// <summary>Can the pointer be one of a log block at all?</summary>
    internal static bool IsPointer(in Blkptr bp) => !bp.IsHole && bp.Type == DmuOt.IntentLog && bp.Level == 0 && bp.ChecksumType == ZioChecksumType.Zilog2
        && bp.Compress == ZioCompressType.Off && bp.LogicalSize is >= Unit and <= MaxSize && bp.LogicalSize == bp.PhysicalSize
        && bp.Dva0.IsValid && !bp.IsGang && bp.Dva0.Asize >= (ulong)bp.LogicalSize;

    /// <summary>
    /// Reads a block of the chain into <paramref name="block"/> (room for the pointer's logical size). False where the chain ends: the block
    /// was never written, or not wholly, or does not belong to this chain. Throws ZfsException (EIO) if the device does not give it.
    /// </summary>
    internal static bool TryRead(IReadOnlyList<Vdev?> vdevs, in Blkptr bp, byte* block, out int used, out Blkptr next)
    {
        used = 0;
        next = default;
        if (!IsPointer(bp))
        {
            return false;
        }

        if (ZioReader.ReadRaw(vdevs, bp.Dva0, block, bp.LogicalSize) != 0)
        {
            throw new ZfsException(Errno.EIO, $"a block of the intent log can't be read: {bp}");
        }

        ulong stated = *(ulong*)(block + UsedOffset);
        if (stated < ChainSize || stated > (ulong)bp.LogicalSize)
        {
            return false;
        }

        int size = Math.Min(bp.LogicalSize, ((int)stated + Unit - 1) & ~(Unit - 1));
        if (!ZioEck.Verify(ZioChecksumType.Zilog2, block, size, EckOffset, bp.Checksum))
        {
            return false;
        }

        next = *(Blkptr*)(block + NextOffset);
        used = (int)stated;
        return !next.IsHole && next.Checksum.Equals(NextOf(bp.Checksum));
    }
}
