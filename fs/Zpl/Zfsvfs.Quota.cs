namespace ZfsLite.Fs;

/// <summary>Quotas of users and groups: who is over one makes no file, writes to none of his, and is given none.</summary>
public sealed unsafe partial class Zfsvfs
{
    /// <summary>Is the file's owner or its group over quota?</summary>
    private bool IsOverQuota(Znode z)
    {
        if (_os.Quotas is not { IsAny: true } quotas)
        {
            return false;
        }

        z.Lock.Enter();
        ulong uid = z.Phys->Uid;
        ulong gid = z.Phys->Gid;
        z.Lock.Exit();
        return quotas.IsOver(isGroup: false, uid) || quotas.IsOver(isGroup: true, gid);
    }

    /// <summary>May this person make something in a directory? EDQUOT.</summary>
    private int MayMakeIn(Znode dz, in Cred cred) =>
        _os.Quotas is { IsAny: true } && IsOverQuota(OwnerIn(dz, cred)) ? Errno.EDQUOT : 0;

    private bool IsOverQuota(in Cred owner) =>
        _os.Quotas is { IsAny: true } quotas && (quotas.IsOver(isGroup: false, owner.Uid) || quotas.IsOver(isGroup: true, owner.Gid));

    /// <summary>May the file be given to another? EDQUOT.</summary>
    private int MayOwn(Znode z, SetAttrMask mask, in ZnodeAttr values)
    {
        if (_os.Quotas is not { IsAny: true } quotas)
        {
            return 0;
        }

        z.Lock.Enter();
        bool user = (mask & SetAttrMask.Uid) != 0 && values.Uid != z.Phys->Uid;
        bool group = (mask & SetAttrMask.Gid) != 0 && values.Gid != z.Phys->Gid;
        z.Lock.Exit();
        return (user && quotas.IsOver(isGroup: false, values.Uid)) || (group && quotas.IsOver(isGroup: true, values.Gid)) ? Errno.EDQUOT : 0;
    }
}
