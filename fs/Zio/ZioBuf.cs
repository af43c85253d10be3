using System.Numerics;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Buffers for blocks, from slab caches named as ZFS names them (zio_buf_512 to zio_buf_131072): steps of 512 bytes up to
/// 4 KiB, above that the multiples of 4 KiB that are whole quarters of a power of two. A cache is made when its size is
/// first asked for, and forgotten when the memory system is started anew.
/// </summary>
public static unsafe class ZioBuf
{
    /// <summary>Largest buffer, bytes (SPA_MAXBLOCKSIZE).</summary>
    public const int MaxSize = 131072;

    private const int Shift = 9;
    private const int Classes = MaxSize >> Shift;

    private static readonly Kmutex s_lock = new("zio_buf_caches");
    private static CacheSet? s_set;

    /// <summary>
    /// A buffer of at least <paramref name="size"/> bytes (1 to 131072), contents undefined. Null only with
    /// <see cref="KmFlags.NoSleep"/>. The caller owns it until <see cref="Free"/>.
    /// </summary>
    public static byte* Alloc(int size, KmFlags flags) => CacheFor(size).Alloc(flags);

    /// <summary>Gives a buffer back; <paramref name="size"/> is the size that was asked for.</summary>
    public static void Free(byte* buffer, int size) => CacheFor(size).Free(buffer);

    /// <summary>As <see cref="Alloc(int, KmFlags)"/> with KM_PUSHPAGE, but with a pool it takes an element of that instead of waiting for memory.</summary>
    /// <param name="size">Bytes; no more than an element has.</param>
    /// <param name="pool">Or null.</param>
    /// <param name="pooled">For <see cref="Free(byte*, int, Mempool, bool)"/>.</param>
    internal static byte* Alloc(int size, Mempool? pool, out bool pooled)
    {
        pooled = false;
        if (pool is null)
        {
            return Alloc(size, KmFlags.PushPage);
        }

        byte* buffer = Alloc(size, KmFlags.PushPage | KmFlags.NoSleep);
        pooled = buffer is null;
        return pooled ? pool.Alloc(KmFlags.PushPage) : buffer;
    }

    /// <summary>Gives back what came from there.</summary>
    internal static void Free(byte* buffer, int size, Mempool? pool, bool pooled)
    {
        if (pooled)
        {
            pool!.Free(buffer);
        }
        else
        {
            Free(buffer, size);
        }
    }

    /// <summary>The cache that serves a size, for statistics and for owners of many buffers of one size.</summary>
    public static KmemCache CacheFor(int size)
    {
        if ((uint)(size - 1) >= MaxSize)
        {
            throw new InvalidOperationException($"zio buffer of {size} bytes");
        }

        CacheSet? set = s_set;
        if (set is not null && ReferenceEquals(set.Owner, KmemSystem.Current) && set.Caches[(size - 1) >> Shift] is { } cache)
        {
            return cache;
        }

        return CacheForSlow(size);
    }

    /// <summary>Size of the objects of the cache that serves <paramref name="size"/>.</summary>
    public static int ClassSize(int size)
    {
        int rounded = (size + 511) & ~511;
        if (rounded <= 4096)
        {
            return rounded;
        }

        int quarter = Math.Max(4096, (int)BitOperations.RoundUpToPowerOf2((uint)rounded) >> 3);
        return (rounded + quarter - 1) / quarter * quarter;
    }

    private static KmemCache CacheForSlow(int size)
    {
        s_lock.Enter();
        try
        {
            CacheSet? set = s_set;
            if (set is null || !ReferenceEquals(set.Owner, KmemSystem.Current))
            {
                set = new CacheSet(KmemSystem.Current);
                s_set = set;
            }

            int slot = (size - 1) >> Shift;
            int classSize = ClassSize(size);
            int classSlot = (classSize - 1) >> Shift;
            KmemCache cache = set.Caches[classSlot]
                ?? KmemCache.Create($"zio_buf_{classSize}", classSize, classSize % 4096 == 0 ? 4096 : 512);
            set.Caches[classSlot] = cache;
            set.Caches[slot] = cache;
            return cache;
        }
        finally
        {
            s_lock.Exit();
        }
    }

    private sealed class CacheSet(KmemSystem owner)
    {
        internal readonly KmemSystem Owner = owner;
        internal readonly KmemCache?[] Caches = new KmemCache?[Classes];
    }
}
