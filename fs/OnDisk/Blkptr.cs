using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>A block pointer (blkptr_t), 128 bytes: up to three copies, sizes, functions, birth, fill, checksum. A hole is all zero.</summary>
[StructLayout(LayoutKind.Explicit, Size = 128)]
public struct Blkptr
{
    /// <summary>Bytes on disk.</summary>
    public const int SizeOf = 128;

    /// <summary>First copy.</summary>
    [FieldOffset(0)]
    public Dva Dva0;

    /// <summary>Second copy.</summary>
    [FieldOffset(16)]
    public Dva Dva1;

    /// <summary>Third copy.</summary>
    [FieldOffset(32)]
    public Dva Dva2;

    /// <summary>Sizes, functions, type, level, byte order: word 6.</summary>
    [FieldOffset(48)]
    public ulong Prop;

    /// <summary>Physical birth, 0 when equal to the logical one.</summary>
    [FieldOffset(72)]
    public ulong PhysBirth;

    /// <summary>Logical birth txg; 0: a hole.</summary>
    [FieldOffset(80)]
    public ulong Birth;

    /// <summary>Number of non-hole blocks (or dnodes) below.</summary>
    [FieldOffset(88)]
    public ulong Fill;

    /// <summary>Checksum of the stored bytes.</summary>
    [FieldOffset(96)]
    public Checksum256 Checksum;

    /// <summary>True if nothing is stored.</summary>
    public readonly bool IsHole => Birth == 0;

    /// <summary>Logical size, bytes.</summary>
    public int LogicalSize
    {
        readonly get => (int)((Prop & 0xffff) + 1) << 9;
        set => Prop = (Prop & ~0xffffUL) | (uint)((value >> 9) - 1);
    }

    /// <summary>Stored size, bytes.</summary>
    public int PhysicalSize
    {
        readonly get => (int)(((Prop >> 16) & 0xffff) + 1) << 9;
        set => Prop = (Prop & ~0xffff0000UL) | ((ulong)(uint)((value >> 9) - 1) << 16);
    }

    /// <summary>Compression of the stored bytes.</summary>
    public ZioCompressType Compress
    {
        readonly get => (ZioCompressType)(Prop >> 32);
        set => Prop = (Prop & ~(0xffUL << 32)) | ((ulong)value << 32);
    }

    /// <summary>Checksum function.</summary>
    public ZioChecksumType ChecksumType
    {
        readonly get => (ZioChecksumType)(Prop >> 40);
        set => Prop = (Prop & ~(0xffUL << 40)) | ((ulong)value << 40);
    }

    /// <summary>Type of the owner.</summary>
    public DmuOt Type
    {
        readonly get => (DmuOt)(Prop >> 48);
        set => Prop = (Prop & ~(0xffUL << 48)) | ((ulong)value << 48);
    }

    /// <summary>Level in the tree of indirect blocks; 0: data.</summary>
    public int Level
    {
        readonly get => (int)(Prop >> 56) & 0x1f;
        set => Prop = (Prop & ~(0x1fUL << 56)) | ((ulong)(uint)value << 56);
    }

    /// <summary>Deduplicated block.</summary>
    public readonly bool IsDedup => ((Prop >> 62) & 1) != 0;

    /// <summary>Byte order of the contents: true is little-endian.</summary>
    public bool IsLittleEndian
    {
        readonly get => Prop >> 63 != 0;
        set => Prop = (Prop & ~(1UL << 63)) | (value ? 1UL << 63 : 0);
    }

    /// <summary>True if the first copy is a gang block.</summary>
    public readonly bool IsGang => Dva0.IsGang;

    /// <summary>Birth of the bytes on disk: physical if set, else logical.</summary>
    public readonly ulong PhysicalBirth => PhysBirth != 0 ? PhysBirth : Birth;

    /// <summary>Number of copies.</summary>
    public readonly int DvaCount => (Dva0.IsValid ? 1 : 0) + (Dva1.IsValid ? 1 : 0) + (Dva2.IsValid ? 1 : 0);

    /// <summary>Space charged for the block: the sum of the copies' allocated sizes (dsize at deflate ratio 1).</summary>
    public readonly ulong Asize => Dva0.Asize + Dva1.Asize + Dva2.Asize;

    /// <summary>Uncompressed size as accounting counts it: stored size for metadata, logical for data (BP_GET_UCSIZE).</summary>
    public readonly int UncompressedSize => Level > 0 || DmuOtInfo.IsMetadata(Type) ? PhysicalSize : LogicalSize;

    /// <summary>Copy number <paramref name="i"/>, 0 to 2.</summary>
    public Dva this[int i]
    {
        readonly get => i switch { 0 => Dva0, 1 => Dva1, 2 => Dva2, _ => throw new ArgumentOutOfRangeException(nameof(i)) };
        set
        {
            switch (i)
            {
                case 0: Dva0 = value; break;
                case 1: Dva1 = value; break;
                case 2: Dva2 = value; break;
                default: throw new ArgumentOutOfRangeException(nameof(i));
            }
        }
    }

    /// <inheritdoc/>
    public override readonly string ToString() =>
        IsHole ? "hole" : $"{Type} L{Level} {LogicalSize:x}/{PhysicalSize:x} birth={Birth} fill={Fill} {Dva0} {Dva1} {Dva2} {ChecksumType}/{Compress}";
}
