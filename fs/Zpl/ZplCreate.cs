using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Makes the contents of a new file system: master node, delete queue, root directory, shares (zfs_create_fs).</summary>
public static unsafe class ZplCreate
{
    private const ulong Version = 4;
    private const ulong MasterNode = 1;

    /// <summary>Flags of new directories: archive and modified bits, trivial ACL, automatic inheritance.</summary>
    private const ulong DirectoryFlags = ZnodePhys.FlagArchive | (0x400UL << 32) | ZnodePhys.FlagAclTrivial | ZnodePhys.FlagAclAuto;

    /// <summary>Fills an object set that has no objects yet, inside an assigned (or the syncing) transaction.</summary>
    /// <param name="os">The empty object set.</param>
    /// <param name="tx">The transaction.</param>
    /// <param name="owner">Owner of the root directory.</param>
    /// <param name="mode">Permission bits of the root directory.</param>
    public static void CreateRoot(Objset os, DmuTx tx, Cred owner = default, uint mode = 0x1ED)
    {
        Dnode master = Zap.Create(os, DmuOt.MasterNode, DmuOt.None, 0, tx);
        Dnode queue = Zap.Create(os, DmuOt.UnlinkedSet, DmuOt.None, 0, tx);
        Dnode root = Zap.Create(os, DmuOt.DirectoryContents, DmuOt.Znode, ZnodePhys.SizeOf, tx);
        Dnode shares = Zap.Create(os, DmuOt.DirectoryContents, DmuOt.Znode, ZnodePhys.SizeOf, tx);
        try
        {
            if (master.Object != MasterNode)
            {
                throw new InvalidOperationException($"the master node became object {master.Object}: the object set is not empty");
            }

            FillDirectory(root, owner, mode, tx);
            FillDirectory(shares, owner, mode, tx);
            Put(master, "VERSION", Version, tx);
            Put(master, "ROOT", root.Object, tx);
            Put(master, "DELETE_QUEUE", queue.Object, tx);
            Put(master, "SHARES", shares.Object, tx);
            Put(master, "normalization", 0, tx);
            Put(master, "utf8only", 0, tx);
            Put(master, "casesensitivity", 0, tx);
        }
        finally
        {
            shares.Release();
            root.Release();
            queue.Release();
            master.Release();
        }
    }

    private static void Put(Dnode master, string name, ulong value, DmuTx tx)
    {
        int error = Zap.Add(master, name, value, tx);
        if (error != 0)
        {
            throw new InvalidOperationException($"{name} can't be entered in the master node: error {error}");
        }
    }

    private static void FillDirectory(Dnode dn, Cred owner, uint mode, DmuTx tx)
    {
        dn.DirtyBonus(tx);
        (long seconds, long nanoseconds) = Kclock.WallTime();
        var p = (ZnodePhys*)dn.Bonus;
        *p = default;
        p->AtimeSeconds = p->MtimeSeconds = p->CtimeSeconds = p->CrtimeSeconds = seconds;
        p->AtimeNanoseconds = p->MtimeNanoseconds = p->CtimeNanoseconds = p->CrtimeNanoseconds = nanoseconds;
        p->Generation = tx.Txg;
        p->Size = 2;
        p->Links = 2;
        p->Parent = dn.Object;
        p->Flags = DirectoryFlags;
        p->Uid = owner.Uid;
        p->Gid = owner.Gid;
        ZplAcl.SetMode(p, ZplMode.Directory | (mode & ZplMode.PermissionMask));
    }
}
