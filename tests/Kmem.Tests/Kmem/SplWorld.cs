using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

/// <summary>What tests of the SPL engine share: options, a gate that stops a thread inside reclaim, and caches that grow in the worker.</summary>
internal static unsafe class SplWorld
{
    internal const int ObjectSize = 20480;

    /// <summary>spl_kmem_cache_slab_limit as upstream has it, whatever the environment says.</summary>
    internal const int HostLimit = 16384;

    internal static KmemOptions Options(
        KmemPolicy policy = KmemPolicy.Fstrans, bool poison = false, long oomNs = 20_000_000_000, long arena = 16 << 20, SplEngineOptions? spl = null) =>
        KmemWorld.Options(policy, arena, poison, oomNs: oomNs, engine: SlabEngineKind.Spl, spl: spl ?? new SplEngineOptions { SlabLimit = HostLimit });

    internal static KmemCache Cache(string name, KmemCacheFlags flags = KmemCacheFlags.Vmem, int size = ObjectSize, Action? reclaim = null) =>
        KmemCache.Create(name, size, 8, null, null, flags | KmemCacheFlags.NoMagazine, reclaim);

    internal static SplEngine Engine(KmemCache cache) => cache.Spl ?? throw new InvalidOperationException($"{cache.Name} is not of the SPL engine");

    internal static PageKind KindOf(KmemSystem system, byte* obj) => system.Mapping.Pages[system.Mapping.IndexOf(obj)].Kind;

    internal static bool IsGrowthThread(Kthread thread) => thread.Name.StartsWith("spl_kmem_cache", StringComparison.Ordinal);

    /// <summary>A hoard, registered, that stops every thread that comes into the file system until the gate opens, and then gives pages.</summary>
    internal static PageHoard GatedHoard(KmemSystem system, Gate gate)
    {
        var hoard = new PageHoard { IgnoresKswapd = true };
        hoard.OnScan = (control, _) =>
        {
            if (control.MayEnterFs)
            {
                gate.Pass();
            }
        };
        Shrinkers.Register(hoard);
        hoard.FillTo(system, system.Pages.Marks.Min);
        return hoard;
    }

    internal static void End(KmemSystem system, PageHoard hoard, params KmemCache[] caches)
    {
        Shrinkers.Unregister(hoard);
        hoard.Drop(system);
        foreach (KmemCache cache in caches)
        {
            cache.Destroy();
        }
    }

    /// <summary>Starts a thread that takes one object and gives it back when told.</summary>
    internal sealed class Taker
    {
        private readonly Kthread _thread;
        private readonly Gate _mayFree = new();
        private int _has;

        internal Taker(string name, KmemCache cache, KmFlags flags, Kmutex? under = null)
        {
            _thread = Kthread.Start(name, () =>
            {
                under?.Enter();
                long start = Kclock.NowNs;
                byte* obj = null;
                try
                {
                    obj = cache.Alloc(flags);
                }
                catch (KmemExhaustedException)
                {
                    Exhausted = true;
                }

                TookNs = Kclock.NowNs - start;
                Object = (nint)obj;
                under?.Exit();
                Katomic.Store(ref _has, 1);
                _mayFree.Pass();
                if (obj != null)
                {
                    cache.Free(obj);
                }
            });
        }

        internal Kthread Thread => _thread;

        internal bool Has => Katomic.Load(ref _has) != 0;

        internal nint Object { get; private set; }

        internal bool Exhausted { get; private set; }

        internal long TookNs { get; private set; }

        internal void WaitUntilItHas() => KmemWorld.Until(() => Has, $"{_thread} gets its object");

        internal void WaitUntilItWaitsFor(string what) =>
            KmemWorld.Until(() => _thread.WaitingFor is { } w && w.WaitName.StartsWith(what, StringComparison.Ordinal), $"{_thread} waits for {what}");

        internal void End()
        {
            _mayFree.Open();
            _thread.Join();
        }
    }

    /// <summary>Stops threads until it is opened.</summary>
    internal sealed class Gate
    {
        private readonly Kmutex _lock = new("test_gate");
        private readonly Kcondvar _opened = new("test_gate");
        private bool _open;

        internal int Waiting;

        internal void Pass()
        {
            _lock.Enter();
            Waiting++;
            while (!_open)
            {
                _opened.Wait(_lock);
            }

            Waiting--;
            _lock.Exit();
        }

        internal void Open()
        {
            _lock.Enter();
            _open = true;
            _opened.Broadcast();
            _lock.Exit();
        }
    }
}
