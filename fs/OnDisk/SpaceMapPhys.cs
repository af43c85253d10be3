using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>Head of a space map (space_map_obj_t), 24 bytes of bonus; the data are 64-bit entries, replayed in order.</summary>
[StructLayout(LayoutKind.Explicit, Size = SizeOf)]
public struct SpaceMapPhys
{
    /// <summary>Bytes on disk.</summary>
    public const int SizeOf = 24;

    /// <summary>Most units one entry can cover.</summary>
    public const int MaxRun = 32768;

    /// <summary>Own object number.</summary>
    [FieldOffset(0)]
    public ulong Object;

    /// <summary>Bytes of valid entries.</summary>
    [FieldOffset(8)]
    public ulong ObjSize;

    /// <summary>Bytes allocated.</summary>
    [FieldOffset(16)]
    public ulong Alloc;

    /// <summary>An entry about <paramref name="run"/> units (1 to 32768) from unit <paramref name="offset"/> of the metaslab.</summary>
    public static ulong Entry(bool isAlloc, ulong offset, int run) =>
        (offset << 16) | (isAlloc ? 0UL : 1UL << 15) | (uint)(run - 1);

    /// <summary>A debug entry: what follows was done in that txg and pass.</summary>
    public static ulong DebugEntry(bool isAlloc, int pass, ulong txg) =>
        (1UL << 63) | (isAlloc ? 0UL : 1UL << 60) | ((ulong)(pass & 0x3ff) << 50) | (txg & ((1UL << 50) - 1));

    /// <summary>True for an entry that only says when.</summary>
    public static bool IsDebug(ulong entry) => entry >> 63 != 0;

    /// <summary>True: allocated; false: freed.</summary>
    public static bool IsAlloc(ulong entry) => ((entry >> 15) & 1) == 0;

    /// <summary>First unit, relative to the metaslab.</summary>
    public static ulong OffsetOf(ulong entry) => (entry >> 16) & ((1UL << 47) - 1);

    /// <summary>Number of units.</summary>
    public static int RunOf(ulong entry) => (int)(entry & 0x7fff) + 1;
}
