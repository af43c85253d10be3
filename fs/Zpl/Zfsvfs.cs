using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// A mounted file system (zfsvfs_t): the ZPL as a plain API by object number. Every method is an entry point: it marks the
/// thread under policy fstrans, and returns 0 or a positive errno. Permission bits are not checked here: the FUSE mount uses
/// default_permissions, the kernel checks them.
/// </summary>
/// <remarks>
/// <para>On disk a file is an object whose bonus holds its attributes; a directory's contents are a ZAP from names to object numbers. In
/// memory it is a <see cref="Znode"/>. A number whose object is gone, or is no file, gives ESTALE.</para>
/// <para>Locks, in the order in which they are taken:</para>
/// <para>1. the rename mutex: renames that move something from one directory to another, one at a time, so that the tree above two
/// directories stands still while it is looked at;</para>
/// <para>2. name locks (Znode.NameLock): of a directory, for reading in a lookup, for writing in whatever changes its names, from the look
/// at the name until the change is made. Parents before children; of two directories of which neither is above the other
/// (under the rename mutex) the lower object number first; last a directory that is to be removed or replaced. The name lock of a file
/// guards its extended attributes; it is never held with another name lock;</para>
/// <para>3. the range lock of a file's data;</para>
/// <para>4. a transaction. A method that holds name locks assigns with NoWait; on ERESTART it drops its locks, waits, and starts again. A
/// method that holds at most a range lock waits in Assign: nobody takes a range lock inside a transaction;</para>
/// <para>5. z_lock (Znode.Lock), for the moment in which attributes are read or changed. The bonus is announced dirty before it, so that
/// nothing is allocated under it;</para>
/// <para>6. the locks of ZAP, DMU and memory. The znode cache's mutex is a leaf.</para>
/// <para>References are dropped (ZnodeCache.Put) when all locks are released and the transaction is committed: the last reference of an
/// unlinked file frees it, in transactions of its own. A file that is unlinked while in use is entered in the delete queue in the
/// transaction that removes its last name, and taken out in the one that frees it; what a crash leaves there is freed at the
/// next mount. Large files are freed piece by piece, so that no transaction grows with the file.</para>
/// <para>Every change describes itself to the intent log (Zilog), in its transaction and under the locks that order it. fsync, and whatever
/// is synchronous, commits the log at the end, with no lock held.</para>
/// <para>Access times: a read changes them in memory. They reach the disk with the next change of the attributes, when the
/// znode is evicted, in SyncFs and in Unmount; never on close.</para>
/// </remarks>
public sealed unsafe partial class Zfsvfs
{
    /// <summary>Longest name, bytes.</summary>
    public const ulong MaxNameLength = 255;

    private const ulong MasterNode = 1;
    private const ulong SupportedVersion = 4;
    private const int EntryTypeShift = 60;
    private const ulong EntryObjectMask = (1UL << 48) - 1;

    private readonly Objset _os;
    private readonly TxgEngine _txg;
    private readonly ZnodeCache _cache;
    private readonly RangeLockPool _ranges = new();
    private readonly Kmutex _renameMutex = new("zfs_rename");
    private Dnode? _deleteQueue;
    private Zilog? _log;
    private ReplayIdentity _replayAs;

    // Where the file ends that a whole block is replayed into; 0: where the bytes end.
    private ulong _replayEnd;
    private bool _anyCase;
    private bool _utf8Only;
    private ulong _normFlags;

    private Zfsvfs(Objset os, bool readOnly, AtimeMode atime)
    {
        _os = os;
        _txg = os.Txg;
        IsReadOnly = readOnly;
        Atime = atime;

        // A bound for the managed side of a znode alone; as with inodes, it is reclaim that keeps the cache small.
        long unused = KmemSystem.Current.ArenaBytes / 4096;
        _cache = new ZnodeCache(this, os, (int)Math.Clamp(unused, 1024, 32768));
    }

    /// <summary>Object number of the root directory.</summary>
    public ulong RootObject { get; private set; }

    /// <summary>Nothing may be changed: EROFS.</summary>
    public bool IsReadOnly { get; }

    /// <summary>When reads update the access time. May be changed at any time.</summary>
    public AtimeMode Atime { get; set; }

    /// <summary>Block size of files that grow beyond it, bytes.</summary>
    public int RecordSize => _os.RecordSize;

    /// <summary>What the intent log did; zeros if there is none.</summary>
    public ZilogStats LogStats => _log?.Stats ?? default;

    /// <summary>The znodes in memory.</summary>
    public ZnodeCache Znodes => _cache;

    /// <summary>
    /// Mounts a dataset's head or a snapshot: checks versions, drains the delete queue unless read-only. Throws ZfsException:
    /// EOPNOTSUPP, named, for what is not supported; EIO for damage.
    /// </summary>
    public static Zfsvfs Mount(Objset os, bool readOnly, AtimeMode atime)
    {
        using FstransCookie mark = Fstrans.MarkEntry();
        var fs = new Zfsvfs(os, readOnly, atime);
        Shrinkers.Register(fs._cache);
        try
        {
            fs.ReadMasterNode();
            if (!readOnly)
            {
                fs._cache.StartWorker();
                fs.DrainDeleteQueue();
                fs.OpenLog();
            }

            return fs;
        }
        catch
        {
            fs.Abandon();
            throw;
        }
    }

    /// <summary>A mount that failed: nothing in memory stays, the log on disk is left as it is.</summary>
    private void Abandon()
    {
        Shrinkers.Unregister(_cache);
        if (!IsReadOnly)
        {
            _cache.StopWorker();
            _txg.WaitSynced(0);
            _os.Log = null;
            _log?.Dispose();
            _log = null;
        }

        DropMemory();
    }

    /// <summary>
    /// Writes every dirty atime, waits for the txg (unless read-only), drops all znodes. No other call may be running or come after.
    /// Files unlinked while open go to the next mount's delete queue.
    /// </summary>
    public void Unmount()
    {
        using FstransCookie mark = Fstrans.MarkEntry();
        Shrinkers.Unregister(_cache);
        if (!IsReadOnly)
        {
            ReleaseReplaced();
            _cache.StopWorker();
            _cache.WriteAtimes();
            _txg.WaitSynced(0);
            CloseLog();
        }

        DropMemory();
    }

    private void DropMemory()
    {
        _cache.Clear();
        _os.Quotas?.Dispose();
        _os.Quotas = null;
        _deleteQueue?.Release();
        _deleteQueue = null;
    }

    /// <summary>Is this object a file that calls from outside may name? 0, ESTALE, EIO.</summary>
    internal int CheckZnode(Dnode dn)
    {
        if (dn.BonusType != DmuOt.Znode || dn.BonusLength < ZnodePhys.SizeOf)
        {
            return Errno.ESTALE;
        }

        var phys = (ZnodePhys*)dn.Bonus;
        if ((phys->Flags & ZnodePhys.FlagXattr) != 0 || phys->Links == 0)
        {
            return Errno.ESTALE;
        }

        bool isDirectory = ZplMode.IsType((uint)phys->Mode, ZplMode.Directory);
        bool damaged = phys->Mode > 0xffff || !ZplMode.IsValid((uint)phys->Mode) || phys->Size > long.MaxValue
            || dn.Type != (isDirectory ? DmuOt.DirectoryContents : DmuOt.PlainFileContents);
        return damaged ? Errno.EIO : 0;
    }

    private static int ErrnoOf(ZfsException e) => e.Errno == Errno.ECKSUM ? Errno.EIO : e.Errno;

    /// <summary>Drops a reference if there is one.</summary>
    private void Put(Znode? z)
    {
        if (z is not null)
        {
            _cache.Put(z);
        }
    }

    /// <summary>After ERESTART, with no lock held: waits until another try makes sense, and drops the transaction.</summary>
    private static void WaitAndAbort(DmuTx tx)
    {
        tx.Wait();
        tx.Abort();
    }

    private static TxAssign Retrying(bool waited) => waited ? TxAssign.NoWait | TxAssign.NoThrottle : TxAssign.NoWait;

    private void ReadMasterNode()
    {
        Dnode master = _os.HoldObject(MasterNode);
        try
        {
            if (master.Type != DmuOt.MasterNode)
            {
                throw new ZfsException(Errno.EIO, $"object 1 is of type {master.Type}, not a master node");
            }

            ulong version = Require(master, "VERSION");
            if (version > SupportedVersion || (version < SupportedVersion && !IsReadOnly))
            {
                throw new ZfsException(Errno.EOPNOTSUPP, $"file system version {version} is not supported (only {SupportedVersion}; older ones read-only)");
            }

            RootObject = Require(master, "ROOT");
            ulong normalization = Optional(master, "normalization");
            if (normalization != 0)
            {
                throw new ZfsException(Errno.EOPNOTSUPP, "a file system with Unicode normalisation is not supported");
            }

            ulong sensitivity = Optional(master, "casesensitivity");
            _anyCase = sensitivity == 1;
            _normFlags = sensitivity == 0 ? 0 : Zap.NormToUpper;
            _utf8Only = Optional(master, "utf8only") != 0;
            if (!IsReadOnly)
            {
                _os.Quotas = new UserQuotas(_os);
                _deleteQueue = _os.HoldObject(Require(master, "DELETE_QUEUE"));
            }
        }
        finally
        {
            master.Release();
        }

        int error = _cache.Get(RootObject, out Znode? root);
        bool isDirectory = error == 0 && root!.IsDirectory;
        Put(root);
        if (!isDirectory)
        {
            throw new ZfsException(Errno.EIO, $"the root directory, object {RootObject}, is damaged");
        }
    }

    private static ulong Require(Dnode master, string name)
    {
        int error = Zap.Lookup(master, name, out ulong value);
        return error == 0 ? value : throw new ZfsException(Errno.EIO, $"the master node has no {name}");
    }

    private static ulong Optional(Dnode master, string name) => Zap.Lookup(master, name, out ulong value) == 0 ? value : 0;
}
