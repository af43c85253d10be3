using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// Space per user and per group, for file systems whose accounts are complete: each object with a znode counts 512 bytes and what it
/// uses on disk. The sync thread collects the differences of a txg and adds them to the two ZAPs at its end.
/// </summary>
internal sealed unsafe class UserAccounting
{
    private readonly SortedDictionary<ulong, long> _users = [];
    private readonly SortedDictionary<ulong, long> _groups = [];

    /// <summary>Before the dnode is written: takes its old share out.</summary>
    internal void Before(Dnode dn)
    {
        DnodePhys* phys = dn.Phys;
        if (!dn.IsSpecial && phys->Type != DmuOt.None && (phys->Flags & DnodePhys.FlagUserUsedAccounted) != 0)
        {
            Count(phys, -1);
        }
    }

    /// <summary>After its blocks are written: puts its new share in.</summary>
    internal void After(Dnode dn, DnodeChange change)
    {
        if (dn.IsSpecial || change.Freed)
        {
            return;
        }

        DnodePhys* phys = dn.Phys;
        phys->Flags |= DnodePhys.FlagUserUsedAccounted;
        Count(phys, 1);
    }

    /// <summary>Adds the differences to the ZAPs.</summary>
    internal void Flush(Objset os, DmuTx tx)
    {
        Apply(os.UserUsed, _users, tx);
        Apply(os.GroupUsed, _groups, tx);
    }

    private static void Apply(Dnode zap, SortedDictionary<ulong, long> deltas, DmuTx tx)
    {
        foreach ((ulong id, long delta) in deltas)
        {
            if (delta == 0)
            {
                continue;
            }

            ulong old = Zap.LookupInt(zap, id, out ulong value) == 0 ? value : 0;
            long now = (long)old + delta;
            if (now == 0)
            {
                _ = Zap.RemoveInt(zap, id, tx);
            }
            else
            {
                int error = Zap.UpdateInt(zap, id, (ulong)now, tx);
                if (error != 0)
                {
                    throw new InvalidOperationException($"{zap}: account of {id}: errno {error}");
                }
            }
        }

        deltas.Clear();
    }

    private static void Add(SortedDictionary<ulong, long> to, ulong id, long delta) =>
        to[id] = to.GetValueOrDefault(id) + delta;

    private void Count(DnodePhys* phys, int sign)
    {
        if (phys->BonusType != DmuOt.Znode || phys->BonusLength < ZnodePhys.SizeOf)
        {
            return;
        }

        var znode = (ZnodePhys*)DnodePhys.BonusOf(phys);
        long bytes = sign * (DnodePhys.SizeOf + (long)phys->UsedBytes);
        Add(_users, znode->Uid, bytes);
        Add(_groups, znode->Gid, bytes);
    }
}
