using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>The pool elements a thread holds. Written by the thread itself, read by others for reports.</summary>
internal sealed class MempoolRecord(KmemSystem system)
{
    private const int PoolsMax = 8;

    private readonly Mempool?[] _pools = new Mempool?[PoolsMax];
    private readonly int[] _counts = new int[PoolsMax];

    private KmemSystem System { get; } = system;

    /// <summary>Elements of all pools together.</summary>
    internal int Total { get; private set; }

    /// <summary>The record of a thread; null if it has none, or one of a memory that is gone.</summary>
    internal static MempoolRecord? TryOf(Kthread self, KmemSystem system) =>
        self.KmemState is MempoolRecord record && ReferenceEquals(record.System, system) ? record : null;

    /// <summary>The record of the calling thread, made if need be.</summary>
    internal static MempoolRecord Of(Kthread self, KmemSystem system)
    {
        MempoolRecord? record = TryOf(self, system);
        if (record is null)
        {
            self.KmemState = record = new MempoolRecord(system);
        }

        return record;
    }

    /// <summary>How many elements of a pool a thread holds.</summary>
    internal static int Held(Kthread thread, Mempool pool)
    {
        if (thread.KmemState is MempoolRecord record)
        {
            for (int i = 0; i < PoolsMax; i++)
            {
                if (ReferenceEquals(record._pools[i], pool))
                {
                    return record._counts[i];
                }
            }
        }

        return 0;
    }

    internal void Add(Mempool pool)
    {
        int free = -1;
        for (int i = 0; i < PoolsMax; i++)
        {
            if (ReferenceEquals(_pools[i], pool))
            {
                _counts[i]++;
                Total++;
                return;
            }

            free = free < 0 && _counts[i] == 0 ? i : free;
        }

        if (free < 0)
        {
            throw new InvalidOperationException($"thread {Kthread.Current} holds elements of more than {PoolsMax} memory pools");
        }

        _pools[free] = pool;
        _counts[free] = 1;
        Total++;
    }

    /// <summary>False if the thread holds none of that pool.</summary>
    internal bool TryRemove(Mempool pool)
    {
        for (int i = 0; i < PoolsMax; i++)
        {
            if (ReferenceEquals(_pools[i], pool) && _counts[i] > 0)
            {
                _counts[i]--;
                Total--;
                if (_counts[i] == 0)
                {
                    _pools[i] = null;
                }

                return true;
            }
        }

        return false;
    }

    /// <summary>A held pool that must not be held while one waits for an element of another; null: none.</summary>
    internal Mempool? FirstNotUnder(Mempool wanted)
    {
        for (int i = 0; i < PoolsMax; i++)
        {
            if (_counts[i] > 0 && !wanted.MayBeTakenUnder(_pools[i]!))
            {
                return _pools[i];
            }
        }

        return null;
    }
}
