using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// Who owns which space: the metaslab allocator of a pool.
///
/// Each top-level vdev is cut into metaslabs, and each metaslab has a space map in the MOS: a log of ALLOC and FREE records.
/// A metaslab that is allocated from has its map replayed into a bitmap (MetaslabCore tells how the bitmap, the changes of
/// the open txgs and the defer ring fit together). Frees need no bitmap.
///
/// Placement. The copies of a block go to different vdevs where there are several, otherwise at least an eighth of the vdev
/// apart while that is possible. Each copy number has a metaslab of its own in use and goes on where it stopped (next fit), so
/// that blocks written one after the other lie one after the other and the vdev queue can write them in one piece. The
/// metaslab is left when it can't serve, for the emptiest one. When a metaslab is nearly full, small blocks fill its holes
/// from the start and leave the long runs to large blocks. Log vdevs serve log blocks only; they may come and go (SpaAllocatorLogs).
///
/// Convergence. Writing space maps changes the MOS, writing the MOS allocates, and that makes new records. The sync loop
/// therefore calls SyncPass until it says that there was nothing to append. It ends because a block born in this txg is
/// written again in place: from some pass on nothing new is allocated.
///
/// Locks: one mutex for everything here, never held over a call into the DMU; a metaslab whose map is read or written is
/// marked busy instead. Allocation may have to read a space map: TryAllocate must not be called with locks held that reading
/// an object of the MOS takes. BeginTxg loads enough in advance for that to be rare.
/// </summary>
public sealed partial class SpaAllocator : IDisposable
{
    private const int TxgSlots = 4;
    private const int SmallBlock = 16 << 10;
    private const int MaxGangDepth = 8;
    private const long Aliquot = 512 << 10;

    // So many space maps are appended to in one pass when memory is short.
    private const int ShortPass = 8;

    // What BeginTxg has in memory besides the room asked for: two metaslabs for each copy, and room for metadata.
    private const int LoadedMin = 6;
    private const long MetadataRoom = 16 << 20;
    private const ulong MaxArrayBlock = 1 << 17;

    private readonly Kmutex _mutex = new("spa_allocator");
    private readonly Kcondvar _notBusy = new("metaslab_busy");
    private readonly RangeMemory _memory;
    private readonly Mempool? _bitmaps;
    private readonly MetaslabGroup[] _normal;
    private MetaslabGroup?[] _byId;
    private MetaslabGroup[] _log;
    private readonly List<Metaslab>[] _dirty = [[], [], [], []];
    private readonly List<Metaslab> _syncing = [];
    private readonly long _bitmapBudget;
    private Objset? _mos;
    private int _rotor;
    private long _rotorBytes;
    private long _uses;
    private long _bitmapBytes;
    private ulong _condensedTxg;

    /// <summary>Makes an allocator for the top-level vdevs of a pool; Open comes next.</summary>
    public SpaAllocator(IReadOnlyList<Vdev> vdevs)
    {
        ArgumentNullException.ThrowIfNull(vdevs);
        uint maxId = 0;
        foreach (Vdev v in vdevs)
        {
            maxId = Math.Max(maxId, v.Id);
        }

        if (vdevs.Count == 0 || maxId > ushort.MaxValue)
        {
            throw new ZfsException(Errno.EINVAL, $"{vdevs.Count} top-level vdevs, highest number {maxId}");
        }

        _byId = new MetaslabGroup?[maxId + 1];
        foreach (Vdev v in vdevs)
        {
            _byId[v.Id] = new MetaslabGroup(v);
        }

        _normal = [.. _byId.Where(static g => g is { Vdev.IsLog: false })!];
        _log = [.. _byId.Where(static g => g is { Vdev: { IsLog: true, IsMissing: false } })!];

        // Here, where nothing can be refused any more.
        _memory = new RangeMemory();
        _bitmaps = MakeBitmapPool();
        _bitmapBudget = Math.Max(1 << 20, KmemSystem.Current.ArenaBytes / 32);
    }

    /// <summary>Reads a gang header for Free; must be set before a gang block is freed.</summary>
    public GangHeaderReader? ReadGangHeader { get; set; }

    /// <summary>Is memory so short that the sync path should write what it has before it takes more?</summary>
    internal Func<bool>? IsShort { get; init; }

    /// <summary>Bytes of all metaslabs of normal vdevs.</summary>
    public long TotalBytes { get; private set; }

    /// <summary>Allocated bytes on normal vdevs; what was freed in the syncing or an open txg no longer counts.</summary>
    public long AllocatedBytes => Sum(_normal, static g => g.Allocated);

    /// <summary>Freed bytes on normal vdevs that can't be handed out yet.</summary>
    public long DeferredBytes => Sum(_normal, static g => g.Deferred);

    /// <summary>Are there devices for the intent log alone?</summary>
    public bool HasLogVdevs => _log.Length > 0;

    /// <summary>How often a space map was replayed in the middle of a txg, not by BeginTxg or Open.</summary>
    public long LateLoads { get; private set; }

    /// <summary>How many space maps were written afresh.</summary>
    public long Condensed { get; private set; }

    /// <summary>Reads the metaslab arrays and the headers of all space maps. Throws ZfsException.</summary>
    public void Open(Objset mos)
    {
        ArgumentNullException.ThrowIfNull(mos);
        _mos = mos;
        var seen = new HashSet<ulong>();
        foreach (MetaslabGroup? g in _byId)
        {
            if (g is not null)
            {
                OpenGroup(mos, g, seen);
            }
        }

        TotalBytes = Sum(_normal, static g => g.Bytes);
    }

    /// <summary>Everything is free and there is no MOS: for tests of what lies above and below.</summary>
    internal void OpenEmpty()
    {
        foreach (MetaslabGroup? g in _byId)
        {
            MakeEmpty(g);
        }

        TotalBytes = Sum(_normal, static g => g.Bytes);
    }

    /// <summary>Replays one space map; returns what is wrong with it, null if nothing.</summary>
    internal string? LoadForTest(uint vdev, int index)
    {
        Metaslab m = _byId[vdev]!.Metaslabs[index];
        _mutex.Enter();
        Load(m);
        _mutex.Exit();
        return m.Damage;
    }

    /// <summary>Loads metaslabs until there is room for <paramref name="expectedBytes"/> of data (all copies counted) and some
    /// metadata, and drops those that exceed the memory set aside for bitmaps. Called by the sync thread before it writes a txg.</summary>
    public void BeginTxg(ulong txg, long expectedBytes)
    {
        _mutex.Enter();
        try
        {
            Trim();
            foreach (MetaslabGroup g in _normal)
            {
                Preload(g, (expectedBytes / _normal.Length) + MetadataRoom);
            }
        }
        finally
        {
            _mutex.Exit();
        }
    }

    /// <summary>Allocates one contiguous run per copy. False, and nothing taken, if there is no room.</summary>
    /// <param name="psize">Bytes to store; rounded up to the vdev's sector size.</param>
    /// <param name="copies">1 to 3.</param>
    /// <param name="txg">The txg that the block is born in.</param>
    /// <param name="dvas">Receives the copies.</param>
    /// <param name="log">A log block: log vdevs first.</param>
    public bool TryAllocate(int psize, int copies, ulong txg, Span<Dva> dvas, bool log = false)
    {
        if (psize <= 0 || copies is < 1 or > MetaslabCore.Cursors || dvas.Length < copies)
        {
            throw new ArgumentOutOfRangeException(nameof(psize), $"{psize} bytes, {copies} copies, room for {dvas.Length}");
        }

        ThreadFlags marks = EnterAsSyncPath();
        try
        {
            return (log && _log.Length > 0 && Allocate(_log, psize, copies, txg, dvas[..copies]))
                || Allocate(_normal, psize, copies, txg, dvas[..copies]);
        }
        finally
        {
            Exit(marks);
        }
    }

    /// <summary>Frees all copies of a block, gang members included. The space comes back two txgs after this one is on disk. Throws
    /// ZfsException if a copy lies where no block can be.</summary>
    public void Free(in Blkptr bp, ulong txg) => FreeBlock(bp, txg, 0);

    /// <summary>Appends to the space maps what was allocated and freed in a txg since the last pass.</summary>
    /// <returns>True if anything was appended: the MOS has to be written (again).</returns>
    public bool SyncPass(ulong txg, DmuTx tx)
    {
        Objset mos = _mos ?? throw new InvalidOperationException("the allocator is not open");
        int slot = (int)(txg % TxgSlots);
        _mutex.Enter();
        try
        {
            _syncing.Clear();
            _syncing.AddRange(_dirty[slot]);
            _dirty[slot].Clear();
            _syncing.Sort(static (a, b) => a.Group.Vdev.Id != b.Group.Vdev.Id ? a.Group.Vdev.Id.CompareTo(b.Group.Vdev.Id) : a.Index.CompareTo(b.Index));
            int appended = 0;
            for (int i = 0; i < _syncing.Count; i++)
            {
                if (appended >= ShortPass && IsShort is { } isShort && isShort())
                {
                    _dirty[slot].AddRange(_syncing.Skip(i));
                    break;
                }

                _syncing[i].DirtySlots &= ~(1 << slot);
                appended += SyncMetaslab(mos, _syncing[i], txg, tx) ? 1 : 0;
            }

            return appended > 0;
        }
        finally
        {
            _mutex.Exit();
        }
    }

    /// <summary>A txg is on stable storage: what was freed in it enters the defer ring, what was freed two txgs ago can be handed out.</summary>
    public void SyncDone(ulong txg)
    {
        _mutex.Enter();
        try
        {
            foreach (MetaslabGroup? g in _byId)
            {
                foreach (Metaslab m in g?.Metaslabs ?? [])
                {
                    if (m.Core.HasFreed)
                    {
                        WaitNotBusy(m);
                        long before = m.Core.Deferred;
                        m.Core.SyncDone();
                        g!.Deferred -= (before - m.Core.Deferred) << g.Vdev.Ashift;
                    }
                }
            }

            Trim();
        }
        finally
        {
            _mutex.Exit();
        }
    }

    /// <summary>Every metaslab, in order.</summary>
    public IReadOnlyList<MetaslabStat> GetMetaslabStats()
    {
        var stats = new List<MetaslabStat>();
        _mutex.Enter();
        foreach (MetaslabGroup? g in _byId)
        {
            foreach (Metaslab m in g?.Metaslabs ?? [])
            {
                int shift = g!.Vdev.Ashift;
                stats.Add(new MetaslabStat(g.Vdev.Id, m.Index, m.Base, m.Core.Units << shift, m.Core.Allocated << shift,
                    m.Core.Deferred << shift, m.Object, m.MapSize, m.Core.IsLoaded, m.Damage));
            }
        }

        _mutex.Exit();
        return stats;
    }

    /// <summary>Gives all memory back.</summary>
    public void Dispose()
    {
        foreach (MetaslabGroup? g in _byId)
        {
            foreach (Metaslab? m in g?.Metaslabs ?? [])
            {
                m?.Core.Dispose();
            }
        }

        _bitmaps?.Destroy();
        _memory.Dispose();
    }

    /// <summary>The sync path waits for whoever holds the mutex, so he asks for memory as the sync path does.</summary>
    private ThreadFlags EnterAsSyncPath()
    {
        Kthread self = Kthread.Current;
        ThreadFlags marks = self.Flags;
        self.Flags = marks | ThreadFlags.SyncPath;
        _mutex.Enter();
        return marks;
    }

    private void Exit(ThreadFlags marks)
    {
        _mutex.Exit();
        Kthread.Current.Flags = marks;
    }

    private static long Sum(MetaslabGroup[] groups, Func<MetaslabGroup, long> what)
    {
        long sum = 0;
        foreach (MetaslabGroup g in groups)
        {
            sum += what(g);
        }

        return sum;
    }

    private unsafe void OpenGroup(Objset mos, MetaslabGroup g, HashSet<ulong> seen)
    {
        ulong[] objects = new ulong[g.Count];
        Dnode array = mos.HoldObject(g.Vdev.MetaslabArray);
        try
        {
            if (array.Type != DmuOt.ObjectArray)
            {
                throw new ZfsException(Errno.ECKSUM, $"MOS object {array.Object} is {array.Type}, not the metaslab array of vdev {g.Vdev.Id}");
            }

            ulong blocks = Math.Min(array.MaxBlockId, MaxArrayBlock) + 1;
            long bytes = (long)Math.Min((ulong)g.Count * sizeof(ulong), blocks * (ulong)array.BlockSize);
            fixed (ulong* p = objects)
            {
                array.Read(0, bytes, (byte*)p);
            }
        }
        finally
        {
            array.Release();
        }

        for (int i = 0; i < g.Count; i++)
        {
            (ulong size, ulong allocated) = (0, 0);
            if (objects[i] != 0)
            {
                if (!seen.Add(objects[i]))
                {
                    throw new ZfsException(Errno.ECKSUM, $"space map {objects[i]} belongs to two metaslabs");
                }

                Dnode dn = mos.HoldObject(objects[i]);
                try
                {
                    (size, allocated) = Metaslab.ReadHeader(dn, 1UL << g.Vdev.MetaslabShift, g.Vdev.Ashift);
                }
                finally
                {
                    dn.Release();
                }
            }

            g.Metaslabs[i] = new Metaslab(g, i, _memory, objects[i], size, (long)allocated >> g.Vdev.Ashift);
            g.Allocated += (long)allocated;
        }
    }
}
