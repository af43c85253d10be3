using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>
/// The in-memory index of a micro ZAP: one 64-bit key per entry, sorted by (hash, cd), in arena memory. Key: hash in bits
/// 36–63, cd in bits 16–35, slot in bits 0–15. It hangs on the dnode and goes with it; the object itself is one per large
/// directory in memory. Guarded by the ZAP's lock.
/// </summary>
internal sealed unsafe class ZapMicroIndex : IDisposable
{
    /// <summary>Largest cd that a key can hold; a micro ZAP has fewer entries than that.</summary>
    internal const uint CdMax = (1 << 20) - 1;

    private ulong* _keys;
    private int _capacity;

    /// <summary>Entries.</summary>
    internal int Count { get; private set; }

    /// <summary>No slot below this one is free.</summary>
    internal int FreeHint { get; set; }

    /// <summary>The keys in order.</summary>
    internal ReadOnlySpan<ulong> Keys => new(_keys, Count);

    internal static ulong MakeKey(ulong hash, uint cd, int slot) => hash | ((ulong)cd << 16) | (uint)slot;

    internal static ulong HashOf(ulong key) => key & ~((1UL << 36) - 1);

    internal static uint CdOf(ulong key) => (uint)(key >> 16) & CdMax;

    internal static int SlotOf(ulong key) => (int)(key & 0xffff);

    /// <summary>Position of the first key that is not less than <paramref name="key"/>.</summary>
    internal static int LowerBound(ReadOnlySpan<ulong> keys, ulong key)
    {
        int lo = 0;
        int hi = keys.Length;
        while (lo < hi)
        {
            int mid = (lo + hi) >>> 1;
            if (keys[mid] < key)
            {
                lo = mid + 1;
            }
            else
            {
                hi = mid;
            }
        }

        return lo;
    }

    /// <summary>Takes over keys, sorted or not.</summary>
    internal void Load(ReadOnlySpan<ulong> keys, KmFlags flags)
    {
        Reserve(keys.Length, flags);
        var own = new Span<ulong>(_keys, keys.Length);
        keys.CopyTo(own);
        own.Sort();
        Count = keys.Length;
        FreeHint = 0;
    }

    internal void Insert(ulong key, KmFlags flags)
    {
        Reserve(Count + 1, flags);
        int at = LowerBound(Keys, key);
        new Span<ulong>(_keys + at, Count - at).CopyTo(new Span<ulong>(_keys + at + 1, Count - at));
        _keys[at] = key;
        Count++;
    }

    internal void RemoveAt(int at)
    {
        FreeHint = Math.Min(FreeHint, SlotOf(_keys[at]));
        new Span<ulong>(_keys + at + 1, Count - at - 1).CopyTo(new Span<ulong>(_keys + at, Count - at - 1));
        Count--;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_keys is not null)
        {
            KmemAllocator.Free((byte*)_keys, _capacity * sizeof(ulong));
            _keys = null;
            _capacity = 0;
            Count = 0;
        }
    }

    private void Reserve(int count, KmFlags flags)
    {
        if (count <= _capacity)
        {
            return;
        }

        int capacity = Math.Max(32, (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)count));
        var keys = (ulong*)KmemAllocator.Alloc(capacity * sizeof(ulong), flags);
        new Span<ulong>(_keys, Count).CopyTo(new Span<ulong>(keys, capacity));
        if (_keys is not null)
        {
            KmemAllocator.Free((byte*)_keys, _capacity * sizeof(ulong));
        }

        _keys = keys;
        _capacity = capacity;
    }
}
