using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// Files that are made without a name (O_TMPFILE): from the start in the delete queue, as if unlinked while open, so that a crash
/// leaves nothing behind, and nothing of them is in the log. One that is linked leaves the queue, and is a file like any other.
/// </summary>
public sealed unsafe partial class Zfsvfs
{
    /// <summary>Creates a regular file that has no name, and opens it: it lives until the matching Close, or gets its first name by Link.</summary>
    public int CreateTemporary(in Cred cred, ulong dir, uint mode, out ZnodeAttr attr)
    {
        attr = default;
        if (IsReadOnly)
        {
            return Errno.EROFS;
        }

        mode = (mode & ZplMode.PermissionMask) | ZplMode.Regular;
        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? dz = null;
        Znode? z = null;
        try
        {
            int error = GetDirectory(dir, out dz);
            if (error == 0)
            {
                error = dz!.Unlinked ? Errno.ENOENT : IsImmutable(dz) ? Errno.EPERM : MayMakeIn(dz, cred) is not 0 and var over ? over : MakeTemporary(cred, dz, mode, out z);
            }

            if (error == 0)
            {
                FillAttr(z!, out attr);
            }

            return error;
        }
        catch (ZfsException e)
        {
            return ErrnoOf(e);
        }
        finally
        {
            Put(z);
            Put(dz);
        }
    }

    private int MakeTemporary(in Cred cred, Znode dz, uint mode, out Znode? z)
    {
        z = null;
        Znode? fresh = _cache.New();
        DmuTx? tx = DmuTx.Create(_txg);
        try
        {
            tx.HoldNewObject(_os, 0);
            tx.HoldZap(_deleteQueue!, add: true);
            int error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                return error;
            }

            Dnode dn = MakeObject(cred, dz, mode, 0, default, tx);
            ((ZnodePhys*)dn.Bonus)->Links = 0;
            error = Zap.AddInt(_deleteQueue!, dn.Object, dn.Object, tx);
            if (error != 0)
            {
                _os.FreeObject(dn, tx);
                dn.Release();
            }
            else
            {
                fresh.Unlinked = true;
                fresh.Linkable = true;
                _cache.Insert(fresh, dn, tx.Txg);
                _cache.Open(fresh);
                z = fresh;
                fresh = null;
            }

            tx.Commit();
            tx = null;
            return error;
        }
        finally
        {
            EndFailed(tx);
            _cache.Discard(fresh);
        }
    }

    /// <summary>A file that had no name has got one. The log does not know of it: only a transaction group can make that lasting.</summary>
    private void NameTemporary(Znode z, DmuTx tx)
    {
        _log?.LogUnloggable(tx);
        int error = Zap.RemoveInt(_deleteQueue!, z.Object, tx);
        if (error != 0)
        {
            throw new ZfsException(Errno.EIO, $"object {z.Object} can't be taken out of the delete queue (error {error})");
        }

        z.Lock.Enter();
        z.Unlinked = false;
        z.Linkable = false;
        z.Lock.Exit();
    }
}
