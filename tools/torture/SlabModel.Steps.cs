using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <content>What the threads do.</content>
internal sealed unsafe partial class SlabModel
{
    private static readonly string[] s_attributes =
        ["cpu_queue_size", "batch_size", "shrink", "expire", "shared_queue_size", "alien_queue_size", "min_partial"];

    /// <summary>Of these only the first belong to every engine.</summary>
    private const int AttributesOfAll = 4;

    private void Act(SlabActor actor)
    {
        actor.Thread = Kthread.Current;
        actor.Thread.FsState = actor;
        for (int step = 0; step < Steps; step++)
        {
            SawWaits();
            if (actor.Me < Threads)
            {
                Step(actor);
            }
            else
            {
                Reap(actor, _slots[actor.Rng.Next(_plan.Caches.Length)]);
            }
        }

        foreach (nint obj in actor.Mine.ToArray())
        {
            Give(_live[obj], obj);
        }

        actor.Mine.Clear();
    }

    private void Step(SlabActor actor)
    {
        // The planned caches live as long as the threads.
        SlabSlot slot = _slots[actor.Rng.Next(_plan.Caches.Length)];
        switch (actor.Rng.Next(16))
        {
            case < 8:
                Take(actor, slot);
                break;
            case < 11:
                if (actor.Mine.Count > 0)
                {
                    int i = actor.Rng.Next(actor.Mine.Count);
                    nint obj = actor.Mine[i];
                    actor.Mine.RemoveAt(i);
                    Give(_live[obj], obj);
                }

                break;
            case < 13:
                GiveBack(slot, actor.Rng.Next(2));
                break;
            case 13:
                Tune(actor, slot);
                break;
            case 14:
                Reap(actor, slot);
                break;
            default:
                ShortLife(actor);
                break;
        }
    }

    /// <summary>A cache is made, used, and ended, while others do the same; perhaps on the slabs of another, by its name or by merging.</summary>
    private void ShortLife(SlabActor actor)
    {
        SlabPlan.CacheSpec like = _plan.Caches[actor.Rng.Next(_plan.Caches.Length)];
        int kind = actor.Rng.Next(4);
        bool sharable = kind == 0 && like.Hooks > 1;
        SlabSlot slot = Make(sharable ? like : new SlabPlan.CacheSpec($"short{actor.Me}", like.Size, kind == 1 ? _plan.Kind(actor.Rng) : like.Flags, actor.Rng.Next(5)));
        Counts[SlabCount.CachesMade]++;
        Counts[SlabCount.CachesMerged] += slot.Cache.Engine.Caches.Count > 1 ? 1 : 0;
        var own = new List<nint>();
        for (int i = actor.Rng.Next(4); i > 0; i--)
        {
            nint obj = Take(actor, slot, keep: false);
            if (obj != 0)
            {
                own.Add(obj);
            }
        }

        if (actor.Rng.OneIn(4))
        {
            Reap(actor, slot);
        }

        own.ForEach(obj => Give(slot, obj));
        while (slot.PassedOn.Count > 0)
        {
            Give(slot, slot.PassedOn[^1]);
        }

        Destroy(slot);
    }

    /// <summary>Allocates with flags and marks by chance.</summary>
    /// <returns>The object, or 0.</returns>
    private nint Take(SlabActor actor, SlabSlot slot, bool keep = true)
    {
        Kthread self = Kthread.Current;
        ThreadFlags before = self.Flags;
        ThreadFlags marks = before | actor.Rng.Next(6) switch
        {
            0 => ThreadFlags.Memalloc,
            1 => ThreadFlags.Fstrans,
            2 => ThreadFlags.Fstrans | ThreadFlags.SyncPath,
            _ => ThreadFlags.None,
        };
        KmFlags flags = (KmFlags)(actor.Rng.Next(3) switch { 0 => 0, 1 => 1, _ => 4 });
        if (_plan.Pressure == SlabPressure.Short)
        {
            flags = KmFlags.NoSleep | (actor.Rng.OneIn(3) ? KmFlags.PushPage : 0);
        }

        bool zeroed = !slot.HasHooks && _fault == SlabFault.None && actor.Rng.OneIn(5);
        bool locked = HasVnode && (marks & ThreadFlags.Fstrans) != 0 && actor.Rng.OneIn(2);
        if (locked)
        {
            _vnode.Enter();
        }

        self.Flags = marks;
        Begin(actor, flags, marks);
        byte* obj;
        try
        {
            obj = zeroed ? slot.Cache.Zalloc(flags) : AllocFaulty(actor, slot, flags);
        }
        catch (KmemExhaustedException) when (_plan.MayGiveUp && !actor.MustNotWait)
        {
            Counts[SlabCount.Exhausted]++;
            Finish(actor, before, marks);
            Unlock(locked);
            return 0;
        }

        bool entitled = actor.Right == SlabRight.All;
        Finish(actor, before, marks);
        Unlock(locked);
        if (obj == null)
        {
            Require((flags & KmFlags.NoSleep) != 0, "a sleeping allocation returned null");
            slot.Failures++;
            Counts[SlabCount.Refused]++;
            return 0;
        }

        Require(!zeroed || !new Span<byte>(obj, slot.Spec.Size).ContainsAnyExcept((byte)0), "zalloc gives more than zeros");
        Receive(actor, slot, obj, entitled);
        if (keep)
        {
            (actor.Rng.OneIn(3) ? slot.PassedOn : actor.Mine).Add((nint)obj);
        }

        return (nint)obj;
    }

    private void Unlock(bool locked)
    {
        if (locked)
        {
            _vnode.Exit();
        }
    }

    private void Begin(SlabActor actor, KmFlags flags, ThreadFlags marks)
    {
        actor.Right = RightOf(flags, marks);
        if (!_actors.Exists(static a => a.IsAllocating) && !_slots.Exists(static s => s.Cache.Spl is { IsGrowing: true })
            && !_ended.Any(static e => e is SplEngine { IsGrowing: true }))
        {
            _growthRight = SlabRight.Ordinary;
        }

        // A worker grows with the flags and the place on the ladder of one of those that are inside.
        actor.LesserRight = RightOf(flags, marks & ~ThreadFlags.Memalloc);
        _growthRight = actor.LesserRight > _growthRight ? actor.LesserRight : _growthRight;
        actor.Lent = null;
        actor.IsAllocating = true;
        actor.MustNotWait = (flags & KmFlags.NoSleep) != 0;
        SawWaits();
    }

    private void Finish(SlabActor actor, ThreadFlags before, ThreadFlags marks)
    {
        Kthread self = Kthread.Current;
        actor.IsAllocating = false;
        actor.MustNotWait = false;
        actor.Right = SlabRight.Ordinary;
        Require(self.Flags == marks, $"an allocation came in with the marks {marks} and went with {self.Flags}");
        self.Flags = before;
        SawWaits();
    }

    /// <summary>An object is handed out.</summary>
    private void Receive(SlabActor actor, SlabSlot slot, byte* obj, bool entitled)
    {
        PageDesc[] pages = _system.Mapping.Pages;
        int page = _system.Mapping.IndexOf(obj);
        Require(page >= 0 && ((nint)obj & 7) == 0, $"0x{(nint)obj:x} is outside the arena, or not aligned");
        bool tagged = slot.Cache.Engine is SlubqEngine && pages[pages[page].Head].Reserve;
        Require(entitled || !tagged, "an ordinary thread got an object of a tagged slab");
        if (actor.Lent is { } lent && pages[page].Head == lent.Page)
        {
            // Others may have ended the tag, but not without a page given back.
            bool kept = slot.Cache.Engine is SlubqEngine ? tagged || lent.Node.FreedPages != lent.Freed
                : _plan.Policy != KmemPolicy.Fstrans || pages[page].Kind == PageKind.Emergency;
            Require(kept, "a slab of pages from below min, taken by PF_MEMALLOC, is for everybody");
        }

        Counts[SlabCount.FromReserve] += tagged ? 1 : 0;
        Counts[SlabCount.EmergencyObjects] += pages[page].Kind == PageKind.Emergency ? 1 : 0;
        Require(!_live.ContainsKey((nint)obj), $"object 0x{(nint)obj:x} of cache {slot.Spec.Name} is handed out twice");
        foreach ((nint other, SlabSlot of) in _live)
        {
            Require(
                (nint)obj + slot.Spec.Size <= other || other + of.Spec.Size <= (nint)obj,
                $"object 0x{(nint)obj:x} of cache {slot.Spec.Name} overlaps 0x{other:x} of {of.Spec.Name}");
        }

        if (slot.HasHooks)
        {
            Require(*(ulong*)obj == Constructed, "an object is handed out that no constructor has seen");
        }

        _live.Add((nint)obj, slot);
        slot.Allocs++;
        Counts[SlabCount.Allocations]++;
        Stamp(slot, obj);
        SimWorld.Trace((nint)obj);
    }

    /// <summary>An object is given back.</summary>
    private void Give(SlabSlot slot, nint obj)
    {
        slot.PassedOn.Remove(obj);
        Require(_live.Remove(obj, out SlabSlot? of) && of == slot, "the model gives back what it doesn't have");
        CheckStamp(slot, (byte*)obj);
        slot.Frees++;
        Counts[SlabCount.Frees]++;
        if (_fault != SlabFault.LoseObject || !_faultRandom.OneIn(4))
        {
            slot.Cache.Free((byte*)obj);
        }

        SawWaits();
    }

    /// <summary>The reclaim callback of a cache: some objects that nobody holds.</summary>
    private void GiveBack(SlabSlot slot)
    {
        EnterFs(!Fstrans.Check());
        long before = Counts[SlabCount.Frees];
        GiveBack(slot, 3);
        Counts[SlabCount.GivenBack] += Counts[SlabCount.Frees] - before;
    }

    private void GiveBack(SlabSlot slot, int most)
    {
        while (most-- > 0 && slot.PassedOn.Count > 0)
        {
            Give(slot, slot.PassedOn[^1]);
        }
    }

    private void Tune(SlabActor actor, SlabSlot slot)
    {
        string name = s_attributes[actor.Rng.Next(slot.Cache.Engine is SlubqEngine ? s_attributes.Length : AttributesOfAll)];
        int value = name switch
        {
            "shrink" or "expire" => 1,
            "shared_queue_size" or "alien_queue_size" => 8 * actor.Rng.Next(3),
            _ => actor.Rng.Next(7),
        };
        if (name == "cpu_queue_size" && _plan.Pressure is SlabPressure.Short or SlabPressure.Exhausted)
        {
            // A new array would wait for memory that nobody here gives back.
            return;
        }

        try
        {
            KmemTunables.Set(slot.Spec.Name, name, $"{value}");
            Counts[SlabCount.Tunings]++;
        }
        catch (KmemTunableException e) when (e.Errno == KmemTunableException.Einval)
        {
            // Smaller than a batch, or more than this arena's share: refused, and nothing has changed.
        }
    }

    private void Reap(SlabActor actor, SlabSlot slot)
    {
        Counts[SlabCount.Reaps]++;
        switch (actor.Rng.Next(7))
        {
            case 0:
                slot.Cache.Reap();
                break;
            case 1:
                _system.Caches.Reap();
                break;
            case 2:
                _ = _system.Caches.Expire();
                break;
            case 3:
                _ = _system.Spl.Scan(new ShrinkControl(true, false), 1 + actor.Rng.Next(100));
                break;
            case 4:
                _ = _system.Reclaimer.Direct(GfpMask.Kernel, 1 + actor.Rng.Next(8), Kthread.Current);
                break;
            case 5:
                slot.Cache.ExpireOnce();
                break;
            default:
                KmemCacheStats stats = slot.Cache.Statistics();
                Require(stats.SlabsAllocated <= stats.SlabsTotal && stats.SlabsTotal <= stats.SlabsMax, $"impossible figures: {stats}");
                break;
        }
    }
}
