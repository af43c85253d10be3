using System.Runtime.InteropServices;

namespace ZfsLite.Kmem;

/// <summary>The header of an object (spl_kmem_obj_t), behind it in the arena: who writes past the end of an object meets it.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct SplObject
{
    /// <summary>Bytes of the header.</summary>
    internal const int Bytes = 24;

    /// <summary>The object is in its slab.</summary>
    internal const uint InSlab = 0x53504c46;

    /// <summary>The object is with a caller or in a magazine.</summary>
    internal const uint Out = 0x53504c4f;

    /// <summary>One of the two values above; anything else is damage.</summary>
    internal uint Magic;

    /// <summary>First page of its slab.</summary>
    internal int SlabPage;

    /// <summary>The object itself.</summary>
    internal byte* Address;

    /// <summary>The next free object of the slab.</summary>
    internal SplObject* NextFree;
}
