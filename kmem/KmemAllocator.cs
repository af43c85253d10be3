using System.Runtime.InteropServices;

namespace ZfsLite.Kmem;

/// <summary>kmem_alloc and its kin: memory from the arena.</summary>
public static unsafe class KmemAllocator
{
    /// <summary>kmem_alloc: contiguous memory, 8-byte aligned. Null only with <see cref="KmFlags.NoSleep"/>.</summary>
    public static byte* Alloc(long size, KmFlags flags) => (byte*)NativeMemory.AlignedAlloc((nuint)size, 4096);

    /// <summary>kmem_zalloc: as Alloc, zero-filled.</summary>
    public static byte* Zalloc(long size, KmFlags flags)
    {
        byte* p = Alloc(size, flags);
        NativeMemory.Clear(p, (nuint)size);
        return p;
    }

    /// <summary>Frees what Alloc or Zalloc gave. <paramref name="size"/> is the size asked for.</summary>
    public static void Free(byte* p, long size) => NativeMemory.AlignedFree(p);

    /// <summary>vmem_alloc: virtually contiguous memory, for large sizes.</summary>
    public static byte* VmemAlloc(long size, KmFlags flags) => Alloc(size, flags);

    /// <summary>vmem_zalloc.</summary>
    public static byte* VmemZalloc(long size, KmFlags flags) => Zalloc(size, flags);

    /// <summary>Frees what VmemAlloc gave.</summary>
    public static void VmemFree(byte* p, long size) => Free(p, size);
}
