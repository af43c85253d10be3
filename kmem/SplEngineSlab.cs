using System.Runtime.InteropServices;

namespace ZfsLite.Kmem;

/// <summary>The header of a slab (spl_kmem_slab_t), at its start in the arena. Guarded by the cache's lock.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct SplSlab
{
    /// <summary>Bytes of the header.</summary>
    internal const int Bytes = 64;

    /// <summary>What <see cref="Magic"/> holds.</summary>
    internal const uint MagicValue = 0x53504c53;

    /// <summary>Says that this is a slab.</summary>
    internal uint Magic;

    /// <summary>Objects in all.</summary>
    internal int Objects;

    /// <summary>Objects taken, those in magazines included.</summary>
    internal int InUse;

    /// <summary>Its first page.</summary>
    internal int Page;

    /// <summary>Its neighbour in the partial or complete list.</summary>
    internal SplSlab* Prev;

    /// <summary>Its neighbour in the partial or complete list.</summary>
    internal SplSlab* Next;

    /// <summary>Its free objects.</summary>
    internal SplObject* Free;

    /// <summary><see cref="SplEngineOptions.SlabLife"/>: when it became empty, nanoseconds.</summary>
    internal long EmptyAtNs;
}
