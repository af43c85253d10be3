using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>A copy of a dnode, checked for sense.</summary>
public sealed class OfflineDnode
{
    private DnodePhys _phys;

    /// <summary>Copies 512 bytes. Throws ZfsException (EIO) if they make no sense as a dnode.</summary>
    public unsafe OfflineDnode(ulong obj, ReadOnlySpan<byte> bytes)
    {
        Object = obj;
        _phys = MemoryMarshal.Read<DnodePhys>(bytes);
        fixed (DnodePhys* dn = &_phys)
        {
            if (DnodePhys.Problem(dn) is { } problem)
            {
                throw new ZfsException(Errno.EIO, $"object {obj}: {problem}");
            }
        }
    }

    /// <summary>Object number; 0 for the dnodes of an object set itself.</summary>
    public ulong Object { get; }

    /// <summary>The fields.</summary>
    public ref readonly DnodePhys Phys => ref _phys;

    /// <summary>True for a free one.</summary>
    public bool IsFree => _phys.Type == DmuOt.None;

    /// <summary>All 512 bytes.</summary>
    public ReadOnlySpan<byte> Bytes => MemoryMarshal.AsBytes(new ReadOnlySpan<DnodePhys>(in _phys));

    /// <summary>The bonus.</summary>
    public ReadOnlySpan<byte> Bonus =>
        Bytes.Slice(DnodePhys.BlkptrOffset + (_phys.BlkptrCount * Blkptr.SizeOf), _phys.BonusLength);

    /// <summary>Bytes of data a block pointer of <paramref name="level"/> leads to, as log2 of block ids.</summary>
    public int IdShift => _phys.IndirectShift - 7;

    /// <summary>A root block pointer.</summary>
    public Blkptr Root(int i) => MemoryMarshal.Read<Blkptr>(Bytes[(DnodePhys.BlkptrOffset + (i * Blkptr.SizeOf))..]);

    /// <summary>The bonus as a struct. Throws ZfsException (EIO) if it is shorter.</summary>
    public T BonusAs<T>(DmuOt type)
        where T : unmanaged
    {
        if (_phys.BonusType != type || _phys.BonusLength < Marshal.SizeOf<T>())
        {
            throw new ZfsException(Errno.EIO, $"object {Object}: bonus {_phys.BonusType} of {_phys.BonusLength} bytes where {type} is wanted");
        }

        return MemoryMarshal.Read<T>(Bonus);
    }
}
