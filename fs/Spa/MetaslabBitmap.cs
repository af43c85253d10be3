using System.Numerics;
using System.Runtime.InteropServices;
using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>One bit per unit, in the arena: set means taken.</summary>
internal sealed unsafe class MetaslabBitmap : IDisposable
{
    private readonly long _bytes;
    private readonly Mempool? _pool;
    private ulong* _words;

    /// <summary>All clear. For flags that sleep.</summary>
    internal MetaslabBitmap(long units, KmFlags flags)
        : this(units, KmemAllocator.VmemAlloc(BytesFor(units), flags), null)
    {
    }

    private MetaslabBitmap(long units, byte* words, Mempool? pool)
    {
        Units = units;
        _bytes = BytesFor(units);
        _words = (ulong*)words;
        _pool = pool;
        NativeMemory.Clear(words, (nuint)_bytes);
    }

    /// <summary>All clear; null if the flags do not sleep and there is no memory. The memory is offered to the pool in the end.</summary>
    internal static MetaslabBitmap? TryCreate(long units, KmFlags flags, Mempool? pool = null)
    {
        byte* words = KmemAllocator.VmemAlloc(BytesFor(units), flags);
        return words is null ? null : new MetaslabBitmap(units, words, pool);
    }

    /// <summary>As above, an element of the pool, without waiting.</summary>
    internal static MetaslabBitmap? TryDraw(long units, Mempool pool)
    {
        byte* words = pool.Draw(KmFlags.PushPage | KmFlags.NoSleep);
        return words is null ? null : new MetaslabBitmap(units, words, pool);
    }

    /// <summary>Number of bits.</summary>
    internal long Units { get; }

    /// <summary>Memory that a bitmap of so many bits takes.</summary>
    internal static long BytesFor(long units) => ((units + 63) >> 6) * sizeof(ulong);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_words != null)
        {
            if (_pool is null || !_pool.TryDonate((byte*)_words))
            {
                KmemAllocator.VmemFree((byte*)_words, _bytes);
            }

            _words = null;
        }
    }

    internal void CopyFrom(MetaslabBitmap other)
    {
        if (other.Units != Units)
        {
            throw new InvalidOperationException($"bitmap of {Units} units copied from one of {other.Units}");
        }

        Buffer.MemoryCopy(other._words, _words, _bytes, _bytes);
    }

    /// <summary>Sets a range that must be clear; false, and nothing changed, if part of it is set.</summary>
    internal bool TrySet(long start, long count)
    {
        CheckRange(start, count);
        if (NextSet(start, start + count) != start + count)
        {
            return false;
        }

        Fill(start, count, set: true);
        return true;
    }

    /// <summary>Clears a range that must be set; false, and nothing changed, if part of it is clear.</summary>
    internal bool TryClear(long start, long count)
    {
        CheckRange(start, count);
        if (NextClear(start, start + count) != start + count)
        {
            return false;
        }

        Fill(start, count, set: false);
        return true;
    }

    /// <summary>First set bit in [from, to), or to.</summary>
    internal long NextSet(long from, long to) => Next(from, to, 0);

    /// <summary>First clear bit in [from, to), or to.</summary>
    internal long NextClear(long from, long to) => Next(from, to, ulong.MaxValue);

    /// <summary>First run of <paramref name="count"/> clear bits inside [from, to), or -1.</summary>
    internal long FindClearRun(long from, long to, long count)
    {
        long at = from;
        while (to - at >= count)
        {
            long start = NextClear(at, to);
            if (to - start < count)
            {
                return -1;
            }

            long end = NextSet(start, start + count);
            if (end - start == count)
            {
                return start;
            }

            at = end;
        }

        return -1;
    }

    /// <summary>Number of set bits.</summary>
    internal long CountSet()
    {
        long n = 0;
        for (long i = 0; i < _bytes / sizeof(ulong); i++)
        {
            n += BitOperations.PopCount(_words[i]);
        }

        return n;
    }

    /// <summary>Number of maximal runs of set bits.</summary>
    internal long CountSetRuns()
    {
        long n = 0;
        ulong carry = 0;
        for (long i = 0; i < _bytes / sizeof(ulong); i++)
        {
            ulong w = _words[i];
            n += BitOperations.PopCount(w & ~((w << 1) | carry));
            carry = w >> 63;
        }

        return n;
    }

    private long Next(long from, long to, ulong invert)
    {
        if (from >= to)
        {
            return to;
        }

        long word = from >> 6;
        ulong w = (_words[word] ^ invert) & (ulong.MaxValue << (int)(from & 63));
        long last = (to - 1) >> 6;
        while (w == 0)
        {
            if (++word > last)
            {
                return to;
            }

            w = _words[word] ^ invert;
        }

        return Math.Min(to, (word << 6) + BitOperations.TrailingZeroCount(w));
    }

    private void Fill(long start, long count, bool set)
    {
        long end = start + count;
        while (start < end)
        {
            int bit = (int)(start & 63);
            int n = (int)Math.Min(64 - bit, end - start);
            ulong mask = (n == 64 ? ulong.MaxValue : (1UL << n) - 1) << bit;
            if (set)
            {
                _words[start >> 6] |= mask;
            }
            else
            {
                _words[start >> 6] &= ~mask;
            }

            start += n;
        }
    }

    private void CheckRange(long start, long count)
    {
        if (start < 0 || count <= 0 || start > Units - count)
        {
            throw new InvalidOperationException($"units {start}+{count} outside a bitmap of {Units}");
        }
    }
}
