using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>A data virtual address (dva_t): where one copy of a block lies.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct Dva : IEquatable<Dva>
{
    /// <summary>Word 0: allocated size in sectors (24 bits), grid (8), vdev (32).</summary>
    [FieldOffset(0)]
    public ulong Word0;

    /// <summary>Word 1: offset in sectors (63 bits), gang bit.</summary>
    [FieldOffset(8)]
    public ulong Word1;

    /// <summary>Makes a DVA. Offset and size in bytes, the offset relative to the allocatable space of the vdev.</summary>
    public static Dva Create(uint vdev, ulong offset, ulong asize, bool gang = false) => new()
    {
        Word0 = ((asize >> 9) & 0xffffff) | ((ulong)vdev << 32),
        Word1 = (offset >> 9) | (gang ? 1UL << 63 : 0),
    };

    /// <summary>Allocated bytes; 0: no such copy.</summary>
    public readonly ulong Asize => (Word0 & 0xffffff) << 9;

    /// <summary>Top-level vdev number.</summary>
    public readonly uint Vdev => (uint)(Word0 >> 32);

    /// <summary>Byte offset in the allocatable space of the vdev (physical = this + 4 MiB).</summary>
    public readonly ulong Offset => (Word1 & ~(1UL << 63)) << 9;

    /// <summary>The offset leads to a gang header.</summary>
    public readonly bool IsGang => Word1 >> 63 != 0;

    /// <summary>True if there is a copy here.</summary>
    public readonly bool IsValid => (Word0 & 0xffffff) != 0;

    /// <inheritdoc/>
    public readonly bool Equals(Dva other) => Word0 == other.Word0 && Word1 == other.Word1;

    /// <inheritdoc/>
    public override readonly bool Equals(object? obj) => obj is Dva d && Equals(d);

    /// <inheritdoc/>
    public override readonly int GetHashCode() => (int)(Word1 ^ (Word1 >> 32) ^ Word0);

    /// <inheritdoc/>
    public override readonly string ToString() => $"{Vdev}:{Offset:x}:{Asize:x}{(IsGang ? "g" : "")}";
}
