using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>
/// Two ways in which a thread that holds a transaction comes to wait for one that needs its end.
/// <para>
/// growth-race: readers (KM_SLEEP, no transaction) and writers (inside a transaction) take objects of one cache of the SPL engine. Its
/// growth is made once for all who wait, with the first one's flags. If that was a reader, reclaim in the worker may open a
/// transaction that has to wait for a writer's.
/// </para>
/// <para>
/// held-lock: readers allocate under a lock that writers take inside their transactions. A mark that comes with the
/// transaction does not cover the reader, whose reclaim opens a transaction that has to wait for the writer's. Under fstrans the
/// reader is marked, but that alone gives it no memory: what it could have is behind transactions that wait for its lock. So
/// there it asks for the reserve, as everybody must whom a transaction may wait for.
/// </para>
/// </summary>
internal sealed unsafe class Race
{
    private const int Rounds = 24;

    /// <summary>spl_kmem_cache_slab_limit as upstream has it, whatever the environment says: a seed says all.</summary>
    private const int HostLimit = 16384;

    private const int Readers = 3;
    private const int Writers = 3;

    /// <summary>held-lock: so many that their transactions and data alone take what is above min, whatever the schedule.</summary>
    private const int LockingWriters = 6;

    private const int ObjectBytes = 16000;
    private const int SmallObjectBytes = 1900;
    private const int LockedBytes = 128 << 10;
    private const int HeldEach = 3;
    private const int SmallHeldEach = 60;

    private readonly RaceOptions _options;
    private readonly ScenarioOptions _world;
    private readonly ScenarioCounters _counters = new();
    private readonly Kmutex _lock = new("z_lock");
    private readonly bool _locks;
    private MiniPool? _pool;
    private MiniZnodeCache? _znodes;
    private KmemCache? _cache;

    internal Race(RaceOptions options)
    {
        _options = options;
        _world = new ScenarioOptions { Policy = options.Policy, Seed = options.Seed };
        _locks = options.Scenario == "held-lock";
    }

    /// <summary>Runs in the calling thread; returns the figures of the contested cache when all work is done.</summary>
    internal KmemCacheStats Run()
    {
        KmemSystem.Init(new KmemOptions
        {
            ArenaBytes = _world.ArenaBytes,
            Policy = _options.Policy,
            SlabEngine = SlabEngineKind.Spl,
            Spl = new SplEngineOptions { SlabLimit = HostLimit },
            LockArena = false,
        });
        _cache = _options.Mapped
            ? KmemCache.Create("dmu_indirect", ObjectBytes, 8, null, null, KmemCacheFlags.Vmem | KmemCacheFlags.NoMagazine)
            : KmemCache.Create("dnode_t", SmallObjectBytes, 8, null, null, KmemCacheFlags.Kmem | KmemCacheFlags.NoMagazine);
        _pool = new MiniPool(_world, _counters);
        _znodes = new MiniZnodeCache(_pool, _world, _counters);
        _pool.Engine.Start();
        _znodes.Start();
        for (int i = 0; i < _world.Warmup; i++)
        {
            _znodes.Read(i % _world.Files);
        }

        var threads = new List<Kthread>();
        for (int i = 0; i < Readers; i++)
        {
            int reader = i;
            threads.Add(Kthread.Start($"reader-{i + 1}", () => Read(reader)));
        }

        for (int i = 0; i < (_locks ? LockingWriters : Writers); i++)
        {
            int writer = i;
            threads.Add(Kthread.Start($"writer-{i + 1}", () => Write(writer)));
        }

        foreach (Kthread t in threads)
        {
            t.Join();
        }

        KmemCacheStats stats = _cache.Statistics();
        _cache.Destroy();
        _znodes.Stop();
        _pool.Engine.Stop();
        string? leaks = KmemSystem.Current.DescribeLeaks();
        KmemSystem.Shutdown();
        return leaks is null ? stats : throw new InvalidOperationException("leaked: " + leaks);
    }

    private void Read(int reader)
    {
        for (int i = 0; i < Rounds; i++)
        {
            using FstransCookie mark = Fstrans.MarkEntry();
            if (_locks)
            {
                _lock.Enter();
                byte* buffer = KmemAllocator.Alloc(LockedBytes, _options is { Reserve: true, Policy: KmemPolicy.Fstrans } ? KmFlags.PushPage : KmFlags.Sleep);
                KmemAllocator.Free(buffer, LockedBytes);
                _lock.Exit();
            }
            else
            {
                Hold(KmFlags.Sleep);
            }

            _znodes!.Read((_world.Warmup + (i * Readers) + reader) % _world.Files);
        }
    }

    private void Write(int writer)
    {
        var file = new MiniZnode(1000 + writer);
        for (int i = 0; i < Rounds; i++)
        {
            using FstransCookie mark = Fstrans.MarkEntry();
            byte* data = KmemAllocator.Alloc(_world.RecordBytes, KmFlags.Sleep);
            DmuTx tx = DmuTx.Create(_pool!.Engine);
            tx.Hold(file);
            tx.HoldSpace(_world.RecordBytes);
            int error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                throw new InvalidOperationException($"write: errno {error}");
            }

            _pool.Dirty(tx, data, _world.RecordBytes);
            if (_locks)
            {
                _lock.Enter();
                _lock.Exit();
            }
            else
            {
                Hold(tx.AllocFlags);
            }

            tx.Commit();
        }
    }

    /// <summary>Takes some objects, for a moment.</summary>
    private void Hold(KmFlags flags)
    {
        int count = _options.Mapped ? HeldEach : SmallHeldEach;
        byte** held = stackalloc byte*[SmallHeldEach];
        for (int i = 0; i < count; i++)
        {
            held[i] = _cache!.Alloc(flags);
        }

        Kthread.Sleep(_world.DiskNs / 4);
        for (int i = 0; i < count; i++)
        {
            _cache!.Free(held[i]);
        }
    }
}
