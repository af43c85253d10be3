using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The slabs of the SLUB+Q engine, after the posting of 2010 that joined SLAB's queues to SLUB's slabs.
/// <para>
/// Slabs. A bitmap per slab says which objects are free (in the page descriptor up to 64, beside it above), so a free object is
/// never touched, and objects of a power of two are naturally aligned and cost nothing extra. An empty slab goes back to the
/// page allocator at once, but for <see cref="MinPartial"/> of them on each node. A cache that grows fast takes several slabs at a time.
/// </para>
/// <para>
/// Queues. In front, one per virtual CPU (<see cref="Magazine"/>). When it runs empty it takes a batch of the hottest objects of the
/// node's shared queue, or of partial slabs; when it is full its coldest batch goes to the shared queue, or to the slabs if that has no
/// room. Objects belong to the node of their page: one freed on another node waits in an alien queue there, and goes home with others
/// when that is full. With one node there are no alien queues, and nothing asks. No timer: reclaim takes what it needs
/// (<see cref="Expire"/>), cheapest first.
/// </para>
/// <para>
/// PFMEMALLOC. A slab whose pages came from below min, taken by a thread that may (PF_MEMALLOC or in reclaim; not KM_PUSHPAGE, whose
/// share is bounded otherwise), is tagged, and its free objects are for such threads alone: what was lent so that memory can be
/// freed is not spent on ordinary work. Others get another slab, wait or fail, though objects are free. No queue ever holds an object of
/// a tagged slab: the owner in its page descriptors is none that a queue takes (<see cref="SlabEngine.OwnerOf"/>), and refills leave
/// it out. So the hit has no check for it. The tag ends with the pages, or when a refill finds the node above low again.
/// </para>
/// <para>
/// Lock order: a virtual CPU's queue (by try) → kmem_cache_shared or kmem_cache_alien (never two of them) → kmem_cache, which is
/// both the lock of slabs and of the node's lists → kmem_node. The arrays of queues come from caches that have none, so making one
/// takes kmem_cache under kmem_cache_shared, of another cache. Pages are freed under a shared or alien queue's lock at most.
/// </para>
/// <para>
/// Invariants: an object is in exactly one of caller, queue, slab. Objects in the queues of a CPU or the shared queue of a node are of
/// untagged slabs of that node. In use by the slabs' count = with callers + in all queues.
/// </para>
/// </summary>
internal sealed unsafe class SlubqEngine : SlabEngine
{
    private const int SharedBatches = 10;
    private const int GrowthShare = 4;

    private readonly SlabGeometry _geometry;
    private readonly SlubqNode[] _nodes;
    private int _minPartial = 1;
    private long _queueFlush;

    internal SlubqEngine(KmemSystem system, string name, int size, int align, KmemCacheFlags flags, bool isMergeable)
        : base(system, name, flags)
    {
        _geometry = new SlabGeometry(size, align);
        Align = align;
        IsMergeable = isMergeable && flags == KmemCacheFlags.None;
        QueueSize = (flags & KmemCacheFlags.NoMagazine) != 0 ? 0 : _geometry.QueueSize(system.ArenaBytes, Kthread.CpuCount);
        int nodes = system.Pages.Nodes.Length;
        long most = system.ArenaBytes / 512 / nodes / _geometry.Stride;
        int shared = (int)Math.Min(SharedBatches * ((QueueSize + 1) / 2), most);
        _nodes = new SlubqNode[nodes];
        for (int i = 0; i < nodes; i++)
        {
            _nodes[i] = new SlubqNode(system, this, i, shared, QueueSize);
        }
    }

    /// <summary>Bytes from one object to the next.</summary>
    internal int Stride => _geometry.Stride;

    /// <summary>What the addresses of objects are a multiple of.</summary>
    internal int Align { get; }

    /// <summary>May other caches share it?</summary>
    internal bool IsMergeable { get; }

    /// <summary>The nodes.</summary>
    internal ReadOnlySpan<SlubqNode> Nodes => _nodes;

    /// <summary>How its slabs are cut.</summary>
    internal SlabGeometry Geometry => _geometry;

    /// <summary>Empty slabs that a node keeps.</summary>
    internal int MinPartial
    {
        get => Katomic.Load(ref _minPartial);
        set => Katomic.Store(ref _minPartial, value);
    }

    /// <summary>Objects that a shared queue may hold.</summary>
    internal int SharedSize => _nodes[0].Shared.Size;

    /// <summary>Objects that an alien queue may hold; 0 with one node.</summary>
    internal int AlienSize => _nodes.Length == 1 ? 0 : _nodes[0].Aliens[1].Size;

    /// <summary>Objects that came from shared queues.</summary>
    internal long AllocShared => _nodes.Sum(static n => n.Shared.Taken);

    /// <summary>Objects that went to shared queues.</summary>
    internal long FreeShared => _nodes.Sum(static n => n.Shared.Added);

    /// <summary>Objects that went to alien queues.</summary>
    internal long FreeAlien => _nodes.Sum(static n => n.Aliens.Sum(static a => a.Added));

    /// <summary>Times that queues were emptied or cut into the slabs.</summary>
    internal long QueueFlush => Katomic.Load(ref _queueFlush);

    /// <inheritdoc/>
    internal override int QueueSize { get; }

    /// <inheritdoc/>
    internal override int QueueOwner(int node) => OwnerOf(node, reserve: false);

    /// <inheritdoc/>
    internal override byte* Refill(Magazine magazine)
    {
        SlubqNode node = _nodes[magazine.Node];
        int want = Math.Min(magazine.Batch, magazine.Capacity);
        if (want < 2)
        {
            return TakeOwn(node, Entitled(Kthread.Current));
        }

        int got = 0;
        if (node.Shared.Count > 0)
        {
            node.Shared.Enter();
            got = node.Shared.Take(magazine.Objects, want);
            node.Shared.Exit();
        }

        if (got == 0)
        {
            // Objects of a tagged slab come one at a time, and go to the caller at once.
            got = node.Take(magazine.Objects, want, Entitled(Kthread.Current));
        }

        if (got == 0)
        {
            got = AddSlabs(node, magazine.Objects, want);
        }

        if (got == 0)
        {
            return null;
        }

        magazine.Count = got - 1;
        return magazine.Objects[got - 1];
    }

    /// <inheritdoc/>
    internal override byte* TryTake()
    {
        Kthread self = Kthread.Current;
        bool entitled = Entitled(self);
        int own = System.Pages.NodeOfCpu(self.Cpu);
        byte* obj = TakeOwn(_nodes[own], entitled);
        return obj != null ? obj : TakeForeign(own, entitled);
    }

    /// <inheritdoc/>
    internal override void Put(byte* obj, int page)
    {
        int head = System.Mapping.Pages[page].Head;
        int home = HomeOf(head);
        if (_nodes.Length > 1)
        {
            Kthread self = Kthread.Current;
            int own = System.Pages.NodeOfCpu(self.Cpu);
            bool direct = own == home || System.Mapping.Pages[head].Reserve || System.Pages.HasWaiters
                || (self.Flags & (ThreadFlags.InReclaim | ThreadFlags.Kswapd)) != 0;
            if (!direct && PutAlien(_nodes[own].Aliens[home], _nodes[home], obj))
            {
                return;
            }
        }

        _nodes[home].Put(&obj, 1);
        System.Pages.Signal();
    }

    /// <inheritdoc/>
    internal override void Flush(Magazine magazine, int count, bool toSlabs)
    {
        if (count == 0)
        {
            return;
        }

        SlubqNode node = _nodes[magazine.Node];
        if (toSlabs || !PutShared(node.Shared, magazine.Objects, count))
        {
            Katomic.Increment(ref _queueFlush);
            node.Put(magazine.Objects, count);
        }

        int left = magazine.Count - count;
        new ReadOnlySpan<nint>(magazine.Objects + count, left).CopyTo(new Span<nint>(magazine.Objects, left));
        magazine.Count = left;
    }

    /// <inheritdoc/>
    internal override byte* Grow(KmFlags flags, Kthread self)
    {
        GfpMask gfp = Gfp.Convert(flags, System.Policy, self.Flags);
        if (_nodes.Length > 1)
        {
            byte* near = TryNear(self);
            if (near != null)
            {
                return near;
            }
        }

        Stall stall = default;
        byte* obj;
        while (true)
        {
            int pages = _geometry.Pages;
            int head = NewSlab(ref pages, gfp, self);
            if (head >= 0)
            {
                obj = AddSlab(head, pages, self);
                break;
            }

            if (!System.Pages.Retry(ref stall, _geometry.MinPages, gfp, self))
            {
                return null;
            }

            obj = TryTake();
            if (obj != null)
            {
                break;
            }
        }

        System.Pages.EndStall(ref stall);
        return obj;
    }

    /// <inheritdoc/>
    internal override void Shrink()
    {
        foreach (SlubqNode node in _nodes)
        {
            DrainAliens(node);
            Drain(node.Shared, node, 0);
        }

        _ = FreeEmpty();
    }

    /// <inheritdoc/>
    internal override void Expire()
    {
        if (FreeEmpty() > 0)
        {
            return;
        }

        foreach (SlubqNode node in _nodes)
        {
            DrainAliens(node);
        }

        if (_nodes.Length > 1 && FreeEmpty() > 0)
        {
            return;
        }

        foreach (SlubqNode node in _nodes)
        {
            Drain(node.Shared, node, 0);
        }

        _ = FreeEmpty();
    }

    /// <inheritdoc/>
    internal override void Close()
    {
        Resize(0, 0);
        Shrink();
        long live = Statistics().ObjectsOut;
        if (live != 0)
        {
            throw new InvalidOperationException($"cache {Name} ends with {live} objects out of its slabs");
        }
    }

    /// <summary>Changes the sizes of the shared and alien queues; what no longer fits goes to the slabs.</summary>
    internal void Resize(int shared, int alien)
    {
        foreach (SlubqNode node in _nodes)
        {
            Resize(node.Shared, node, shared);
            for (int i = 0; i < node.Aliens.Length; i++)
            {
                if (i != node.Index)
                {
                    Resize(node.Aliens[i], _nodes[i], alien);
                }
            }
        }

        foreach (SlubqNode node in _nodes)
        {
            _ = node.FreeEmpty(MinPartial);
        }
    }

    /// <inheritdoc/>
    internal override bool IsObject(byte* obj, int page)
    {
        PageDesc[] pages = System.Mapping.Pages;
        long offset = obj - System.Mapping.Address(pages[page].Head);
        return offset % Stride == 0 && offset / Stride < pages[pages[page].Head].Objects;
    }

    /// <inheritdoc/>
    internal override SlabEngineStats Statistics()
    {
        var stats = new SlabEngineStats { SlabSize = _geometry.Pages << ArenaMapping.PageShift };
        foreach (SlubqNode node in _nodes)
        {
            stats = node.Add(stats);
        }

        return stats;
    }

    /// <summary>May the thread have objects of tagged slabs?</summary>
    private static bool Entitled(Kthread self) => PageAllocator.MayUseAll(self);

    /// <summary>The node whose lists a slab is in.</summary>
    private int HomeOf(int head) => (System.Mapping.Pages[head].Owner & ~IdMask) >> 1;

    /// <summary>One object of the shared queue or the slabs of a node, or null.</summary>
    private byte* TakeOwn(SlubqNode node, bool entitled)
    {
        byte* obj;
        if (node.Shared.Count > 0)
        {
            node.Shared.Enter();
            int got = node.Shared.Take(&obj, 1);
            node.Shared.Exit();
            if (got > 0)
            {
                return obj;
            }
        }

        return node.TakeOne(entitled);
    }

    private byte* TakeForeign(int own, bool entitled)
    {
        for (int i = 1; i < _nodes.Length; i++)
        {
            byte* obj = TakeOwn(_nodes[(own + i) % _nodes.Length], entitled);
            if (obj != null)
            {
                return obj;
            }
        }

        return null;
    }

    /// <summary>With several nodes: a slab on the own one if that has plenty of pages, else what others have ready.</summary>
    private byte* TryNear(Kthread self)
    {
        int own = System.Pages.NodeOfCpu(self.Cpu);
        int head = (Flags & KmemCacheFlags.Vmem) != 0 ? -1 : System.Pages.TryNode(own, _geometry.Pages);
        return head >= 0 ? AddSlab(head, _geometry.Pages, self) : TakeForeign(own, Entitled(self));
    }

    /// <summary>Pages for a slab: of the best size, of the smallest one, or mapped together from scattered ones.</summary>
    private int NewSlab(ref int pages, GfpMask gfp, Kthread self)
    {
        bool sleeps = (gfp & GfpMask.DirectReclaim) != 0;
        if ((Flags & KmemCacheFlags.Vmem) != 0 && sleeps)
        {
            return System.Vmalloc.Alloc(pages, gfp, self);
        }

        int head = System.Pages.Try(pages, gfp, self);
        if (head < 0 && pages > _geometry.MinPages)
        {
            pages = _geometry.MinPages;
            head = System.Pages.Try(pages, gfp, self);
        }

        if (head == PageAllocator.Fragmented && (sleeps || System.Policy == KmemPolicy.Fstrans))
        {
            head = System.Vmalloc.Alloc(pages, gfp, self);
        }

        return head;
    }

    /// <summary>
    /// A cache that grows fast, while there is plenty of memory: the slabs for a whole batch at once. No more than a quarter of those it has,
    /// so that one which is hardly used takes no page too many.
    /// </summary>
    /// <returns>Objects taken; 0: one slab at a time, please (<see cref="Grow"/>).</returns>
    private int AddSlabs(SlubqNode node, byte** into, int want)
    {
        int objects = _geometry.ObjectsIn(_geometry.Pages);
        int slabs = (int)Math.Min(Math.Min((want + objects - 1) / objects, SlubqNode.SlabBatch), node.Slabs / GrowthShare);
        if (slabs < 2 || (Flags & KmemCacheFlags.Vmem) != 0)
        {
            return 0;
        }

        Span<int> heads = stackalloc int[SlubqNode.SlabBatch];
        MemoryNode memory = System.Pages.Nodes[node.Index];
        slabs = memory.TryAlloc(heads[..slabs], _geometry.Pages, memory.Marks.High);
        if (slabs == 0)
        {
            return 0;
        }

        heads = heads[..slabs];
        foreach (int head in heads)
        {
            Junk(head, _geometry.Pages);
        }

        return node.Add(heads, _geometry.Pages, objects, into, want);
    }

    private byte* AddSlab(int head, int pages, Kthread self)
    {
        Junk(head, pages);
        int node = head >= System.Mapping.WindowStart ? System.Pages.NodeOfCpu(self.Cpu) : System.Pages.NodeOf(head);
        return _nodes[node].Add(head, pages, _geometry.ObjectsIn(pages));
    }

    private void Junk(int head, int pages)
    {
        if (JunksNewSlabs)
        {
            Poison.FillFree(System.Mapping.Address(head), (long)pages << ArenaMapping.PageShift);
        }
    }

    private bool PutShared(SlubqQueue shared, byte** objects, int count)
    {
        if (shared.Size == 0)
        {
            return false;
        }

        shared.Enter();
        bool put = shared.TryPut(objects, count);
        shared.Exit();
        return put;
    }

    private bool PutAlien(SlubqQueue alien, SlubqNode home, byte* obj)
    {
        if (alien.Size == 0)
        {
            return false;
        }

        alien.Enter();
        if (alien.Count >= alien.Size)
        {
            DrainLocked(alien, home, 0);
        }

        bool put = alien.TryPut(&obj, 1);
        alien.Exit();
        return put;
    }

    private void DrainAliens(SlubqNode node)
    {
        for (int i = 0; i < node.Aliens.Length; i++)
        {
            Drain(node.Aliens[i], _nodes[i], 0);
        }
    }

    private void Drain(SlubqQueue queue, SlubqNode home, int keep)
    {
        if (queue.Count > keep)
        {
            queue.Enter();
            DrainLocked(queue, home, keep);
            queue.Exit();
        }
    }

    /// <summary>Gives the coldest objects of a queue to their slabs. Its lock is held.</summary>
    private void DrainLocked(SlubqQueue queue, SlubqNode home, int keep)
    {
        int count = queue.Count - keep;
        if (count > 0)
        {
            Katomic.Increment(ref _queueFlush);
            home.Put(queue.Objects, count);
            queue.DropColdest(count);
        }
    }

    private void Resize(SlubqQueue queue, SlubqNode home, int size)
    {
        queue.Enter();
        DrainLocked(queue, home, size == 0 ? 0 : Math.Min(size, queue.Count));
        queue.Resize(size);
        queue.Exit();
    }

    private int FreeEmpty()
    {
        int freed = 0;
        foreach (SlubqNode node in _nodes)
        {
            freed += node.FreeEmpty(0);
        }

        return freed;
    }
}
