using Xunit;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Kmem.Tests;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Splat;

/// <summary>What the slab tests share: the engine under test, and objects that reclaim may take back.</summary>
internal static unsafe class SplatSlabs
{
    internal const string Slubq = "slubq";
    internal const string Spl = "spl";

    /// <param name="engine">The engine under test.</param>
    /// <param name="arena">Bytes of the arena.</param>
    /// <param name="ages">SPL: magazines age (spl_kmem_cache_expire = 1).</param>
    /// <param name="isShort">The test runs short of memory. Otherwise a growth may last as long as a busy machine makes it, and no
    /// emergency object takes the place of a slab.</param>
    internal static KmemOptions Options(string engine, long arena, bool ages = false, bool isShort = false) => KmemWorld.Options(
        arena: arena,
        engine: engine == Spl ? SlabEngineKind.Spl : SlabEngineKind.Slubq,
        spl: new SplEngineOptions
        {
            SlabLimit = SplWorld.HostLimit,
            Expire = ages ? SplExpire.Age : SplExpire.Mem,
            GrowTimeoutNs = isShort || Backends.IsSim ? new SplEngineOptions().GrowTimeoutNs : 20_000_000_000,
        });

    internal static KmemCache Create(string name, int size, KmemCacheFlags flags, Action? reclaim = null) =>
        KmemCache.Create(name, size, 8, null, null, flags, reclaim);

    /// <summary>The slabs are those of the engine under test: SPL leaves to the host's allocator what asks for it, and objects up to
    /// 16 KiB that ask for nothing.</summary>
    internal static void AssertEngine(string engine, int size, KmemCacheFlags flags, KmemCacheStats stats)
    {
        const KmemCacheFlags own = KmemCacheFlags.Kmem | KmemCacheFlags.Vmem;
        bool isSpl = engine == Spl && (flags & KmemCacheFlags.Slab) == 0 && ((flags & own) != 0 || size > SplWorld.HostLimit);
        Assert.Equal(isSpl ? SlabEngineKind.Spl : SlabEngineKind.Slubq, stats.Engine);
    }

    /// <summary>Takes objects and lets reclaim take them back, a few at each call, from whatever thread it runs in.</summary>
    internal sealed class Lists : IShrinker, IDisposable
    {
        private readonly Kmutex[] _locks;
        private readonly Stack<nint>[] _objects;
        private readonly int _perCall;
        private readonly bool _isShrinker;
        private long _reclaimed;
        private long _calls;

        /// <param name="engine">The engine under test: reclaim doesn't ask the callbacks of SLUB+Q, so there the lists are a shrinker.</param>
        /// <param name="create">Makes the cache, given the callback.</param>
        /// <param name="lists">How many lists.</param>
        /// <param name="perCall">Objects that a call of the callback frees of each list.</param>
        internal Lists(string engine, Func<Action, KmemCache> create, int lists, int perCall)
        {
            _perCall = perCall;
            _locks = new Kmutex[lists];
            _objects = new Stack<nint>[lists];
            for (int i = 0; i < lists; i++)
            {
                _locks[i] = new Kmutex("splat_list");
                _objects[i] = new Stack<nint>();
            }

            Cache = create(() => Reclaim());
            _isShrinker = engine == Slubq;
            if (_isShrinker)
            {
                Shrinkers.Register(this);
            }
        }

        public string Name => "splat";

        internal KmemCache Cache { get; }

        /// <summary>Objects that the callback freed.</summary>
        internal long Reclaimed => Katomic.Load(ref _reclaimed);

        /// <summary>Calls of the callback that freed something.</summary>
        internal long Calls => Katomic.Load(ref _calls);

        internal int Live => _objects.Sum(static o => o.Count);

        /// <summary>Allocates an object and puts it into a list, where reclaim may find it.</summary>
        internal void Add(int list)
        {
            byte* obj = Cache.Alloc(KmFlags.Sleep);
            *(long*)obj = (nint)obj;
            _locks[list].Enter();
            _objects[list].Push((nint)obj);
            _locks[list].Exit();
        }

        /// <summary>The reclaim callback (skc_reclaim).</summary>
        /// <returns>Objects freed.</returns>
        internal long Reclaim()
        {
            long freed = 0;
            for (int i = 0; i < _locks.Length; i++)
            {
                freed += Free(i, _perCall);
            }

            Katomic.Add(ref _reclaimed, freed);
            Katomic.Add(ref _calls, freed > 0 ? 1 : 0);
            return freed;
        }

        public long Count(in ShrinkControl control) => Live;

        public long Scan(in ShrinkControl control, long toScan) => Reclaim();

        /// <summary>Frees what is left, and ends the cache.</summary>
        public void Dispose()
        {
            if (_isShrinker)
            {
                Shrinkers.Unregister(this);
            }

            for (int i = 0; i < _locks.Length; i++)
            {
                Free(i, int.MaxValue);
            }

            Cache.Destroy();
        }

        private long Free(int list, int count)
        {
            long freed = 0;
            if (!_locks[list].TryEnter())
            {
                return 0;
            }

            while (freed < count && _objects[list].TryPop(out nint obj))
            {
                if (*(long*)obj != obj)
                {
                    throw new InvalidOperationException($"object 0x{obj:x} was overwritten");
                }

                Cache.Free((byte*)obj);
                freed++;
            }

            _locks[list].Exit();
            return freed;
        }
    }
}
