using System.Runtime.CompilerServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The shrinkers of a system, and the proportional scan of Linux's shrink_slab: at priority p a shrinker is asked for about
/// 2/2^p of what it counts, what could not be scanned is carried over, and a Scan gets at most one batch. No lock is held
/// while a shrinker runs.
/// </summary>
internal sealed class ShrinkerRegistry
{
    private const int Seeks = 2;

    private readonly Kmutex _lock = new("kmem_shrinkers");
    private readonly Kcondvar _left = new("kmem_shrinker_left");
    private ShrinkerEntry[] _entries = [];

    /// <summary>All entries, in the order of registration.</summary>
    internal ShrinkerEntry[] Entries => _entries;

    internal void Add(IShrinker shrinker)
    {
        ArgumentNullException.ThrowIfNull(shrinker);
        _lock.Enter();
        bool known = Find(shrinker) >= 0;
        if (!known)
        {
            _entries = [.. _entries, new ShrinkerEntry(shrinker)];
        }

        _lock.Exit();
        if (known)
        {
            throw new InvalidOperationException($"shrinker {shrinker.Name} is registered already");
        }
    }

    internal void Remove(IShrinker shrinker)
    {
        ArgumentNullException.ThrowIfNull(shrinker);
        _lock.Enter();
        int at = Find(shrinker);
        if (at < 0)
        {
            _lock.Exit();
            throw new InvalidOperationException($"shrinker {shrinker.Name} is not registered");
        }

        ShrinkerEntry entry = _entries[at];
        entry.Removed = true;
        _entries = [.. _entries.AsSpan(0, at), .. _entries.AsSpan(at + 1)];
        while (entry.Active > 0)
        {
            _left.Wait(_lock);
        }

        _lock.Exit();
    }

    /// <summary>Runs every shrinker once, at a priority from 12 (gentle) to 0.</summary>
    /// <returns>Objects that went.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)] // A stack in a report shall name it.
    internal long Shrink(in ShrinkControl control, int priority)
    {
        long freed = 0;
        foreach (ShrinkerEntry entry in _entries)
        {
            if (Enter(entry))
            {
                try
                {
                    freed += ShrinkOne(entry, control, priority);
                }
                finally
                {
                    Leave(entry);
                }
            }
        }

        return freed;
    }

    /// <summary>Asks every shrinker for up to <paramref name="objects"/> objects, as the torture hook does.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)] // A stack in a report shall name it.
    internal long ShrinkSome(in ShrinkControl control, int objects)
    {
        long freed = 0;
        foreach (ShrinkerEntry entry in _entries)
        {
            if (Enter(entry))
            {
                try
                {
                    long count = entry.Shrinker.Count(control);
                    if (count > 0)
                    {
                        freed += Scan(entry, control, Math.Min(count, objects), out _);
                    }
                }
                finally
                {
                    Leave(entry);
                }
            }
        }

        return freed;
    }

    private static long ShrinkOne(ShrinkerEntry entry, in ShrinkControl control, int priority)
    {
        long count = entry.Shrinker.Count(control);
        if (count <= 0)
        {
            return 0;
        }

        long batch = Math.Max(1, entry.Shrinker.BatchSize);
        long deferred = Katomic.Load(ref entry.Deferred);
        Katomic.Add(ref entry.Deferred, -deferred);
        long total = Math.Min((deferred >> priority) + ((count >> priority) * 4 / Seeks), count * 2);
        long next = deferred - (deferred >> priority);
        long freed = 0;
        while (total >= batch || (total > 0 && total >= count))
        {
            long scan = Math.Min(batch, total);
            freed += Scan(entry, control, scan, out bool stop);
            if (stop)
            {
                break;
            }

            total -= scan;
        }

        Katomic.Add(ref entry.Deferred, Math.Min(next + total, count * 2));
        return freed;
    }

    private static long Scan(ShrinkerEntry entry, in ShrinkControl control, long objects, out bool stop)
    {
        long result = entry.Shrinker.Scan(control, objects);
        Katomic.Increment(ref entry.Scans);
        stop = result < 0;
        if (stop)
        {
            Katomic.Increment(ref entry.Stops);
            return 0;
        }

        Katomic.Add(ref entry.Freed, result);
        return result;
    }

    private int Find(IShrinker shrinker)
    {
        for (int i = 0; i < _entries.Length; i++)
        {
            if (ReferenceEquals(_entries[i].Shrinker, shrinker))
            {
                return i;
            }
        }

        return -1;
    }

    private bool Enter(ShrinkerEntry entry)
    {
        _lock.Enter();
        bool entered = !entry.Removed;
        if (entered)
        {
            entry.Active++;
        }

        _lock.Exit();
        return entered;
    }

    private void Leave(ShrinkerEntry entry)
    {
        _lock.Enter();
        entry.Active--;
        if (entry.Removed && entry.Active == 0)
        {
            _left.Broadcast();
        }

        _lock.Exit();
    }
}
