using BenchmarkDotNet.Attributes;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Bench.Kmem;

/// <summary>
/// Reclaim from a full cache whose callback frees some of its objects, until every object is destructed and every slab is back:
/// splat's slab_reap (1,024 objects of 256 bytes, 32 freed at a call), with the 100 ms between two reaps that it has there, and
/// without; and one reap of a cache that has nothing to give.
/// </summary>
public unsafe class KmemReapBenchmarks
{
    /// <summary>What splat's pauses take alone, nanoseconds: no form can be faster.</summary>
    internal const double SplatPausesNs = (double)SplatPauseNs * (Objects / PerCall);

    private const int ObjectSize = 256;
    private const int Objects = 1024;
    private const int PerCall = 32;
    private const int Pinned = 65_536;
    private const int Reaps = 100;
    private const long SplatPauseNs = 100_000_000;
    private const long TimeoutNs = 90_000_000_000;

    private readonly Stack<nint> _live = new(Pinned);
    private KmemCache _cache = null!;
    private long _constructed;

    /// <summary>The form.</summary>
    [Params(ReapForm.Historical, ReapForm.Spl, ReapForm.Slubq)]
    public ReapForm Form { get; set; }

    /// <summary>Fills the cache.</summary>
    [IterationSetup(Targets = [nameof(SlabReap), nameof(SlabReapWithoutPauses)])]
    public void SetupFull() => Fill(Objects, Reclaim);

    /// <summary>Fills the cache, and empties it again but for one object of each slab.</summary>
    [IterationSetup(Target = nameof(ReapOfPinnedSlabs))]
    public void SetupPinned()
    {
        Fill(Pinned, null);
        KmemCacheStats stats = _cache.Statistics();
        int perSlab = (int)(stats.ObjectsTotal / stats.SlabsTotal);
        var kept = new List<nint>();
        int taken = 0;
        while (_live.TryPop(out nint obj))
        {
            if (taken++ % perSlab == 0)
            {
                kept.Add(obj);
            }
            else
            {
                _cache.Free((byte*)obj);
            }
        }

        kept.ForEach(_live.Push);
        ReapOfPinnedSlabs();
    }

    /// <summary>Ends the cache.</summary>
    [IterationCleanup]
    public void Cleanup()
    {
        while (_live.TryPop(out nint obj))
        {
            _cache.Free((byte*)obj);
        }

        _cache.Destroy();
        KmemSystem.Shutdown();
    }

    /// <summary>As splat has it.</summary>
    [Benchmark]
    public void SlabReap() => ReapAll(SplatPauseNs);

    /// <summary>The same, reaped every millisecond.</summary>
    [Benchmark]
    public void SlabReapWithoutPauses() => ReapAll(1_000_000);

    /// <summary>A reap that finds an object live in every slab.</summary>
    [Benchmark(OperationsPerInvoke = Reaps)]
    public void ReapOfPinnedSlabs()
    {
        for (int i = 0; i < Reaps; i++)
        {
            _cache.Reap();
        }
    }

    private void Fill(int objects, Action? reclaim)
    {
        KmemSystem.Init(new KmemOptions
        {
            LockArena = false,
            ArenaBytes = 64L << 20,
            SlabEngine = Form == ReapForm.Slubq ? SlabEngineKind.Slubq : SlabEngineKind.Spl,
            Spl = new SplEngineOptions
            {
                SlabLife = Form == ReapForm.Historical,
                Expire = Form == ReapForm.Historical ? SplExpire.Age : SplExpire.Mem,
            },
        });
        _constructed = 0;
        _cache = KmemCache.Create("slab_reap", ObjectSize, 8, Construct, Destruct, KmemCacheFlags.Kmem, reclaim);
        for (int i = 0; i < objects; i++)
        {
            _live.Push((nint)_cache.Alloc(KmFlags.Sleep));
        }
    }

    private void ReapAll(long pauseNs)
    {
        long deadline = Kclock.NowNs + TimeoutNs;
        while (Volatile.Read(ref _constructed) > 0 || _cache.Statistics().SlabsTotal > 0)
        {
            if (Kclock.NowNs > deadline)
            {
                throw new InvalidOperationException($"{_constructed} objects and {_cache.Statistics().SlabsTotal} slabs are left after 90 s");
            }

            _cache.Reap();
            Kthread.Sleep(pauseNs);
        }
    }

    private void Reclaim()
    {
        for (int i = 0; i < PerCall && _live.TryPop(out nint obj); i++)
        {
            _cache.Free((byte*)obj);
        }
    }

    private void Construct(byte* obj)
    {
        new Span<byte>(obj, ObjectSize).Fill(0xc7);
        Interlocked.Increment(ref _constructed);
    }

    private void Destruct(byte* obj)
    {
        new Span<byte>(obj, ObjectSize).Clear();
        Interlocked.Decrement(ref _constructed);
    }
}
