using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>A dnode on disk (dnode_phys_t), 512 bytes: type, geometry, up to three block pointers, bonus. A free one is all zero.</summary>
[StructLayout(LayoutKind.Explicit, Size = SizeOf)]
public unsafe struct DnodePhys
{
    /// <summary>Bytes on disk.</summary>
    public const int SizeOf = 512;

    /// <summary>log2 of the size.</summary>
    public const int Shift = 9;

    /// <summary>Where the block pointers begin.</summary>
    public const int BlkptrOffset = 64;

    /// <summary>Largest bonus, bytes.</summary>
    public const int MaxBonus = 320;

    /// <summary>Flag: <see cref="Used"/> counts bytes, not sectors of 512.</summary>
    public const byte FlagUsedBytes = 1;

    /// <summary>Flag: the object is in the user and group accounts.</summary>
    public const byte FlagUserUsedAccounted = 2;

    /// <summary>Object type; None: free.</summary>
    [FieldOffset(0)]
    public DmuOt Type;

    /// <summary>log2 of the indirect block size.</summary>
    [FieldOffset(1)]
    public byte IndirectShift;

    /// <summary>Levels; 1: the block pointers lead to data.</summary>
    [FieldOffset(2)]
    public byte Levels;

    /// <summary>Number of block pointers, 1 to 3.</summary>
    [FieldOffset(3)]
    public byte BlkptrCount;

    /// <summary>Type of the bonus.</summary>
    [FieldOffset(4)]
    public DmuOt BonusType;

    /// <summary>Checksum function for the object's blocks; Inherit: the dataset's.</summary>
    [FieldOffset(5)]
    public ZioChecksumType Checksum;

    /// <summary>Compression function; Inherit: the dataset's.</summary>
    [FieldOffset(6)]
    public ZioCompressType Compress;

    /// <summary>Flags.</summary>
    [FieldOffset(7)]
    public byte Flags;

    /// <summary>Data block size in sectors of 512.</summary>
    [FieldOffset(8)]
    public ushort DataBlockSectors;

    /// <summary>Bytes of bonus.</summary>
    [FieldOffset(10)]
    public ushort BonusLength;

    /// <summary>Highest block id ever written; 0 if none.</summary>
    [FieldOffset(16)]
    public ulong MaxBlockId;

    /// <summary>Space of all blocks, indirect ones and copies included: bytes, or sectors (see the flag).</summary>
    [FieldOffset(24)]
    public ulong Used;

    /// <summary>First block pointer.</summary>
    [FieldOffset(64)]
    public Blkptr Blkptr0;

    /// <summary>Second block pointer, if <see cref="BlkptrCount"/> is at least 2.</summary>
    [FieldOffset(192)]
    public Blkptr Blkptr1;

    /// <summary>Third block pointer, if <see cref="BlkptrCount"/> is 3.</summary>
    [FieldOffset(320)]
    public Blkptr Blkptr2;

    /// <summary>Data block size, bytes.</summary>
    public readonly int DataBlockSize => DataBlockSectors << 9;

    /// <summary>Space used, bytes, whatever the unit on disk.</summary>
    public readonly ulong UsedBytes => (Flags & FlagUsedBytes) != 0 ? Used : Used << 9;

    /// <summary>Block pointer <paramref name="i"/> of a dnode in memory.</summary>
    public static Blkptr* BlkptrAt(DnodePhys* dn, int i) => (Blkptr*)((byte*)dn + BlkptrOffset + (i * Blkptr.SizeOf));

    /// <summary>The bonus of a dnode in memory.</summary>
    public static byte* BonusOf(DnodePhys* dn) => (byte*)dn + BlkptrOffset + (dn->BlkptrCount * Blkptr.SizeOf);

    /// <summary>How many block pointers a dnode with that much bonus has.</summary>
    public static int BlkptrCountFor(int bonusLength) => 1 + ((MaxBonus - bonusLength) >> 7);

    /// <summary>Why a dnode read from disk can't be used, or null if it can. A free dnode is fine.</summary>
    public static string? Problem(DnodePhys* dn)
    {
        if (dn->Type == DmuOt.None)
        {
            return null;
        }

        if (dn->Type >= DmuOt.NumTypes)
        {
            return $"object type {(int)dn->Type}";
        }

        if (dn->BlkptrCount is < 1 or > 3)
        {
            return $"{dn->BlkptrCount} block pointers";
        }

        if (dn->BonusLength > MaxBonus || dn->BonusLength + ((dn->BlkptrCount - 1) * Blkptr.SizeOf) > MaxBonus)
        {
            return $"bonus of {dn->BonusLength} bytes beside {dn->BlkptrCount} block pointers";
        }

        if (dn->DataBlockSectors is 0 or > 256)
        {
            return $"data blocks of {dn->DataBlockSectors} sectors";
        }

        if (dn->IndirectShift is < 10 or > 17)
        {
            return $"indirect blocks of 2^{dn->IndirectShift} bytes";
        }

        if (dn->Levels is < 1 or > 10)
        {
            return $"{dn->Levels} levels";
        }

        if (!IsChecksum(dn->Checksum) || !IsCompression(dn->Compress))
        {
            return $"checksum function {(int)dn->Checksum}, compression {(int)dn->Compress}";
        }

        // The tree must have room for the highest block id (no room can overflow 64 bits beyond 9 levels).
        int shift = (dn->IndirectShift - 7) * (dn->Levels - 1);
        if (shift < 64 && (dn->MaxBlockId >> shift) >= dn->BlkptrCount)
        {
            return $"block {dn->MaxBlockId} does not fit in {dn->Levels} levels";
        }

        return null;
    }

    private static bool IsChecksum(ZioChecksumType type) => type is ZioChecksumType.Inherit or ZioChecksumType.On or ZioChecksumType.Off
        or ZioChecksumType.Fletcher2 or ZioChecksumType.Fletcher4 or ZioChecksumType.Sha256;

    private static bool IsCompression(ZioCompressType type) => type is not ZioCompressType.Empty and <= ZioCompressType.Zle;
}
