using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <summary>
/// One random life of a few caches in the simulator, all by a seed: threads that allocate, free, pass objects on, tune and reap caches,
/// make and end others, and run short of memory; and a model beside them that knows who holds what. Only one thread runs at a time
/// and the model's books are kept without a scheduling point, so that they need no lock.
/// <para>What it holds the allocator to, at every step:</para>
/// <para>
/// 1. No byte belongs to two objects: neither by address nor, since pages can be mapped twice, by content.
/// 2. No object is lost: in the end every cache is empty, every page and mapping is back, and so is every queue's memory.
/// 3. Counters are exact: allocated, freed, refused, out of the slabs, in queues, emergency objects, pages of slabs (counted from the
/// page descriptors); constructors and destructors ran once for each object.
/// 4. Nobody goes further down the reserve than he may (<see cref="SlabRight"/>), and no object of a tagged slab goes to anybody who
/// isn't entitled.
/// 5. KM_NOSLEEP never waits for anything but a mutex, whose holder never sleeps; anybody else never gets null, and gives up only
/// where nobody gives memory back.
/// 6. An allocation leaves the marks of its thread as they were.
/// 7. Nobody waits for ever; in particular, under policy fstrans, no marked thread that holds a lock for a thread in reclaim that wants it.
/// 8. A cache that has live objects can't be destroyed; the refusal names live objects.
/// </para>
/// </summary>
internal sealed unsafe partial class SlabModel
{
    private const int Threads = 4;
    private const int Steps = 14;

    private readonly ulong _seed;
    private readonly SlabFault _fault;
    private readonly SeededRandom _faultRandom;
    private readonly SlabPlan _plan;
    private readonly SeededRandom _rng;
    private readonly List<SlabSlot> _slots = [];
    private readonly Dictionary<nint, SlabSlot> _live = [];
    private readonly List<SlabActor> _actors = [];
    private readonly HashSet<SlabEngine> _ended = [];
    private readonly Hoard _hoard;
    private readonly Kmutex _vnode = new("model_vnode");
    private KmemSystem _system = null!;
    private int _slotsMade;

    /// <summary>A model of one schedule.</summary>
    /// <param name="seed">Its seed.</param>
    /// <param name="engine">The engine under test.</param>
    /// <param name="counts">What happened is added to them.</param>
    /// <param name="fault">A fault to plant.</param>
    internal SlabModel(ulong seed, SlabEngineKind engine, SlabCounts counts, SlabFault fault = SlabFault.None)
    {
        _seed = seed;
        _fault = fault;
        _faultRandom = new SeededRandom(seed + 99);
        _rng = new SeededRandom(seed);
        _plan = new SlabPlan(_rng, engine);
        _hoard = new Hoard(this);
        Counts = counts;
    }

    internal SlabCounts Counts { get; }

    /// <summary>What was seen that must not be, where it could not be thrown; or null.</summary>
    internal string? Violation { get; private set; }

    /// <summary>The body of the run.</summary>
    internal void Run()
    {
        _system = KmemSystem.Init(_plan.Options());
        foreach (MemoryNode node in _system.Pages.Nodes)
        {
            node.Watch = OnBelowMin;
        }

        foreach (SlabPlan.CacheSpec spec in _plan.Caches)
        {
            Make(spec);
        }

        if (_plan.Pressure != SlabPressure.Plenty)
        {
            _hoard.FillToMin();
        }

        if (_plan.Pressure == SlabPressure.Tight)
        {
            Shrinkers.Register(_hoard);
        }

        Live();
        End();
        KmemSystem.Shutdown();
    }

    /// <summary>The simulator's hook: nobody can run, and time is about to jump.</summary>
    /// <returns>True: somebody waits who must not.</returns>
    internal bool OnIdle()
    {
        foreach (SlabActor actor in _actors)
        {
            if (actor is { IsAllocating: true, MustNotWait: true })
            {
                Violation ??= $"KM_NOSLEEP waits in {actor.Thread} for {actor.Thread?.WaitingFor?.WaitName}";
            }
        }

        return Violation is not null;
    }

    /// <summary>Only under the policy of today may a marked thread allocate while it holds a lock that reclaim takes.</summary>
    private bool HasVnode => _plan.Policy == KmemPolicy.Fstrans;

    /// <summary>Reclaim comes into the file system, where marked threads hold a lock while they allocate.</summary>
    private void EnterFs(bool may)
    {
        if (may && HasVnode)
        {
            _vnode.Enter();
            _vnode.Exit();
        }
    }

    private void Live()
    {
        var threads = new List<Kthread>();
        int count = Threads + (_plan.HasReaper ? 1 : 0);
        for (int i = 0; i < count; i++)
        {
            var actor = new SlabActor(i, new SeededRandom((_seed * 8) + (ulong)i));
            _actors.Add(actor);
            threads.Add(Kthread.Start(i < Threads ? $"actor{i}" : "reaper", () => Act(actor)));
        }

        threads.ForEach(static t => t.Join());
    }

    private void End()
    {
        AwaitQuiet();
        CheckBooks();
        RefuseDestroy();
        foreach (SlabSlot slot in _slots)
        {
            while (slot.PassedOn.Count > 0)
            {
                Give(slot, slot.PassedOn[^1]);
            }
        }

        Require(_live.Count == 0, "the model has lost objects itself");
        CheckBooks();
        if (_plan.Pressure == SlabPressure.Tight)
        {
            Shrinkers.Unregister(_hoard);
        }

        _hoard.FreeAll();
        CountSystem();
        foreach (SlabSlot slot in _slots.ToArray())
        {
            Destroy(slot);
        }

        AwaitQuiet();
        CheckNothingLeft();
    }

    private SlabSlot Make(SlabPlan.CacheSpec spec)
    {
        var slot = new SlabSlot(++_slotsMade, spec);
        slot.Cache = KmemCache.Create(
            spec.Name,
            spec.Size,
            8,
            slot.HasHooks ? obj => Construct(slot, obj) : null,
            slot.HasHooks ? obj => Destruct(slot, obj) : null,
            spec.Flags,
            spec.Hooks == 1 ? () => GiveBack(slot) : null);
        _slots.Add(slot);
        return slot;
    }

    private void Destroy(SlabSlot slot)
    {
        bool last = slot.Cache.Engine.Caches.Count == 1;
        AddEngineCounts(slot, last);
        _slots.Remove(slot);
        _ended.Add(slot.Cache.Engine);
        slot.Cache.Destroy();
        Require(slot.Constructed == slot.Destructed, $"cache {slot.Spec.Name}: {slot.Constructed} objects were constructed, {slot.Destructed} destructed");
    }

    private void AddEngineCounts(SlabSlot slot, bool last)
    {
        if (!last)
        {
            return;
        }

        SlabEngineStats stats = slot.Cache.Engine.Statistics();
        Counts[SlabCount.GrowthDeadlocks] += stats.GrowthDeadlocks;
        Counts[SlabCount.GrowthFailures] += slot.Cache.Spl?.FailedGrowths ?? 0;
        Counts[SlabCount.FreedAlien] += slot.Cache.Engine is SlubqEngine slubq ? slubq.FreeAlien : 0;
    }

    private void CountSystem()
    {
        Counts[SlabCount.DirectReclaims] += _system.Counters.DirectReclaims;
        Counts[SlabCount.KswapdWakes] += _system.Counters.KswapdWakes;
    }

    private static void Require(bool holds, string what)
    {
        if (!holds)
        {
            throw new SlabModelException(what);
        }
    }
}
