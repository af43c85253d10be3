using System.Runtime.CompilerServices;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Describing changes. Every method is called inside the transaction of the change, with the lock held that orders it.</summary>
internal sealed unsafe partial class Zilog
{
    private const SetAttrMask LoggedAttrs = SetAttrMask.Mode | SetAttrMask.Uid | SetAttrMask.Gid | SetAttrMask.Atime | SetAttrMask.AtimeNow
        | SetAttrMask.Mtime | SetAttrMask.MtimeNow;

    /// <summary>A change without a record form: commits wait for the txg.</summary>
    internal void LogUnloggable(DmuTx tx)
    {
        if (!TakeReplayed(tx))
        {
            MustSync(tx);
        }
    }

    /// <summary>A new object under a name. The object's bonus is filled in.</summary>
    internal void LogCreate(DmuTx tx, ZilTx kind, ulong dir, Dnode dn, ReadOnlySpan<byte> name, ReadOnlySpan<byte> target = default)
    {
        if (TakeReplayed(tx))
        {
            return;
        }

        Itx* itx = NewCreate(tx, kind, dir, dn, name, target);
        if (itx is not null)
        {
            Add(tx, itx, 0);
        }
    }

    private Itx* NewCreate(DmuTx tx, ZilTx kind, ulong dir, Dnode dn, ReadOnlySpan<byte> name, ReadOnlySpan<byte> target)
    {
        int extra = name.Length + 1 + (target.Length > 0 ? target.Length + 1 : 0);
        Itx* itx = NewItx(tx, kind, ZilRecord.CreateSize, extra);
        if (itx is null)
        {
            return null;
        }

        var phys = (ZnodePhys*)dn.Bonus;
        ZilRecord* r = Itx.RecordOf(itx);
        r->Word[0] = dir;
        r->Word[1] = dn.Object;
        r->Word[2] = phys->Mode;
        r->Word[3] = phys->Uid;
        r->Word[4] = phys->Gid;
        r->Word[5] = phys->Generation;
        r->Word[6] = (ulong)phys->CrtimeSeconds;
        r->Word[7] = (ulong)phys->CrtimeNanoseconds;
        r->Word[8] = phys->Rdev;
        byte* p = PutName((byte*)r + ZilRecord.CreateSize, name);
        if (target.Length > 0)
        {
            _ = PutName(p, target);
        }

        return itx;
    }

    /// <summary>A name goes, and what hung on it: with the last name of <paramref name="obj"/> go its unwritten records.</summary>
    internal void LogRemove(DmuTx tx, ZilTx kind, ulong dir, ReadOnlySpan<byte> name, ulong obj, bool last)
    {
        if (TakeReplayed(tx))
        {
            return;
        }

        if (last)
        {
            Forget(tx, obj);
        }

        Itx* itx = NewItx(tx, kind, ZilRecord.RemoveSize, name.Length + 1);
        if (itx is not null)
        {
            ZilRecord* r = Itx.RecordOf(itx);
            r->Word[0] = dir;
            _ = PutName((byte*)r + ZilRecord.RemoveSize, name);
            Add(tx, itx, 0);
        }
    }

    /// <summary>One more name.</summary>
    internal void LogLink(DmuTx tx, ulong dir, ulong obj, ReadOnlySpan<byte> name)
    {
        if (TakeReplayed(tx))
        {
            return;
        }

        Itx* itx = NewItx(tx, ZilTx.Link, ZilRecord.LinkSize, name.Length + 1);
        if (itx is not null)
        {
            ZilRecord* r = Itx.RecordOf(itx);
            r->Word[0] = dir;
            r->Word[1] = obj;
            _ = PutName((byte*)r + ZilRecord.LinkSize, name);
            Add(tx, itx, 0);
        }
    }

    /// <summary>A name moves. What the moved file's own records say is written before.</summary>
    internal void LogRename(DmuTx tx, ulong sourceDir, ulong targetDir, ReadOnlySpan<byte> source, ReadOnlySpan<byte> target, ulong moved)
    {
        if (TakeReplayed(tx))
        {
            return;
        }

        Itx* itx = NewItx(tx, ZilTx.Rename, ZilRecord.LinkSize, source.Length + target.Length + 2);
        if (itx is not null)
        {
            ZilRecord* r = Itx.RecordOf(itx);
            r->Word[0] = sourceDir;
            r->Word[1] = targetDir;
            _ = PutName(PutName((byte*)r + ZilRecord.LinkSize, source), target);
            Promote(moved);
            Add(tx, itx, 0);
        }
    }

    /// <summary>Contents changed; a commit reads them then.</summary>
    internal void LogWrite(DmuTx tx, ulong obj, ulong offset, ulong length)
    {
        if (ReplayingSeq != 0 || length == 0)
        {
            return;
        }

        ItxGroup group = _groups[TxgSlots<int>.Index(tx.Txg)];
        _lock.Enter();
        bool joined = group.Txg == tx.Txg && (group.MustSync || group.TryJoin(obj, offset, length));
        _lock.Exit();
        if (joined)
        {
            return;
        }

        Itx* itx = NewItx(tx, ZilTx.Write, ZilRecord.WriteSize, 0);
        if (itx is not null)
        {
            FillWrite(itx, obj, offset, length);
            Add(tx, itx, obj);
        }
    }

    /// <summary>
    /// A new extended attribute: its directory if that is new too, its file, its value. One change: the records are in one block of the
    /// log, or none is.
    /// </summary>
    internal void LogXattr(DmuTx tx, ulong owner, Dnode dir, bool dirIsNew, Dnode file, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        if (TakeReplayed(tx))
        {
            return;
        }

        Itx* made = dirIsNew ? NewCreate(tx, ZilTx.MakeXattr, owner, dir, default, default) : null;
        Itx* entered = NewCreate(tx, ZilTx.Create, dir.Object, file, name, default);
        Itx* written = value.Length > 0 ? NewItx(tx, ZilTx.Write, ZilRecord.WriteSize, value.Length) : null;
        if ((dirIsNew && made is null) || entered is null || (value.Length > 0 && written is null))
        {
            // The txg has to be waited for anyway.
            FreeList(made);
            FreeList(entered);
            FreeList(written);
            return;
        }

        if (written is not null)
        {
            FillWrite(written, file.Object, 0, (ulong)value.Length);
            value.CopyTo(new Span<byte>((byte*)Itx.RecordOf(written) + ZilRecord.WriteSize, value.Length));
        }

        Itx* first = made is not null ? made : entered;
        first->Together = LengthOf(made) + LengthOf(entered) + LengthOf(written);
        _lock.Enter();
        Itx* stale = Use(tx.Txg, out ItxGroup group);
        foreach (nint itx in (ReadOnlySpan<nint>)[(nint)made, (nint)entered, (nint)written])
        {
            if (itx != 0)
            {
                group.AddSync((Itx*)itx);
            }
        }

        _lock.Exit();
        FreeList(stale);
    }

    private static long LengthOf(Itx* itx) => itx is null ? 0 : (long)Itx.RecordOf(itx)->Length;

    /// <summary>A range became a hole; length 0: the file ends at the offset.</summary>
    internal void LogTruncate(DmuTx tx, ulong obj, ulong offset, ulong length)
    {
        if (ReplayingSeq != 0)
        {
            return;
        }

        Itx* itx = NewItx(tx, ZilTx.Truncate, ZilRecord.TruncateSize, 0);
        if (itx is not null)
        {
            ZilRecord* r = Itx.RecordOf(itx);
            r->Word[0] = obj;
            r->Word[1] = offset;
            r->Word[2] = length;
            Add(tx, itx, obj);
        }
    }

    /// <summary>Memory for <see cref="LogSetAttr"/>, taken before z_lock; null: the commit will sync.</summary>
    internal Itx* PrepareSetAttr(DmuTx tx) => ReplayingSeq != 0 ? null : NewItx(tx, ZilTx.SetAttr, ZilRecord.SetAttrSize, 0);

    /// <summary>Attributes changed, under z_lock, so that records come in the order of the changes.</summary>
    internal void LogSetAttr(DmuTx tx, Itx* itx, ulong obj, SetAttrMask changed, ZnodePhys* phys)
    {
        if (itx is null)
        {
            return;
        }

        if ((changed & LoggedAttrs) == 0)
        {
            FreeList(itx);
            return;
        }

        ZilRecord* r = Itx.RecordOf(itx);
        r->Word[0] = obj;
        r->Word[1] = ((changed & SetAttrMask.Mode) != 0 ? ZilRecord.MaskMode : 0)
            | ((changed & SetAttrMask.Uid) != 0 ? ZilRecord.MaskUid : 0)
            | ((changed & SetAttrMask.Gid) != 0 ? ZilRecord.MaskGid : 0)
            | ((changed & (SetAttrMask.Atime | SetAttrMask.AtimeNow)) != 0 ? ZilRecord.MaskAtime : 0)
            | ((changed & (SetAttrMask.Mtime | SetAttrMask.MtimeNow)) != 0 ? ZilRecord.MaskMtime : 0);
        r->Word[2] = phys->Mode;
        r->Word[3] = phys->Uid;
        r->Word[4] = phys->Gid;
        r->Word[5] = phys->Size;
        r->Word[6] = (ulong)phys->AtimeSeconds;
        r->Word[7] = (ulong)phys->AtimeNanoseconds;
        r->Word[8] = (ulong)phys->MtimeSeconds;
        r->Word[9] = (ulong)phys->MtimeNanoseconds;
        Add(tx, itx, obj);
    }

    private static void FillWrite(Itx* itx, ulong obj, ulong offset, ulong length)
    {
        ZilRecord* r = Itx.RecordOf(itx);
        r->Word[0] = obj;
        r->Word[1] = offset;
        r->Word[2] = length;
        r->Word[3] = 0;
        r->WriteBlock = default;
    }

    private static byte* PutName(byte* p, ReadOnlySpan<byte> name)
    {
        name.CopyTo(new Span<byte>(p, name.Length));
        p[name.Length] = 0;
        return p + name.Length + 1;
    }

    /// <summary>In replay a change is not logged again: the transaction notes that the record is done.</summary>
    private bool TakeReplayed(DmuTx tx)
    {
        if (ReplayingSeq == 0)
        {
            return false;
        }

        _replayed[TxgSlots<int>.Index(tx.Txg)] = ReplayingSeq;
        _spa.AddDirtyObjset(_os, tx.Txg);
        return true;
    }

    /// <summary>Memory for a record, if there is some to be had at once.</summary>
    private Itx* NewItx(DmuTx tx, ZilTx kind, int fixedSize, int extra)
    {
        int length = (fixedSize + extra + 7) & ~7;
        long bytes = sizeof(Itx) + length;
        if (Mode == SyncMode.Disabled || IsMustSync(tx))
        {
            MustSync(tx);
            return null;
        }

        Itx* itx = Katomic.Add(ref _bytes, bytes) > _bytesMax ? null : (Itx*)KmemAllocator.Alloc(bytes, KmFlags.PushPage | KmFlags.NoSleep);
        if (itx is null)
        {
            Katomic.Add(ref _bytes, -bytes);
            MustSync(tx);
            _txg.Kick();
            return null;
        }

        Unsafe.InitBlockUnaligned(itx, 0, (uint)(sizeof(Itx) + fixedSize));
        new Span<byte>((byte*)itx + bytes - Math.Min(8, length - fixedSize), Math.Min(8, length - fixedSize)).Clear();
        itx->Bytes = bytes;
        ZilRecord* r = Itx.RecordOf(itx);
        r->Type = (ulong)kind;
        r->Length = (ulong)length;
        r->Txg = tx.Txg;
        return itx;
    }

    private bool IsMustSync(DmuTx tx)
    {
        // Only ever set while the txg is held: no lock needed to see it set.
        ItxGroup group = _groups[TxgSlots<int>.Index(tx.Txg)];
        return group.Txg == tx.Txg && group.MustSync;
    }

    private void MustSync(DmuTx tx)
    {
        _lock.Enter();
        Itx* stale = Use(tx.Txg, out ItxGroup group);
        group.MustSync = true;
        _lock.Exit();
        FreeList(stale);
    }

    private void Add(DmuTx tx, Itx* itx, ulong obj)
    {
        _lock.Enter();
        Itx* stale = Use(tx.Txg, out ItxGroup group);
        if (obj == 0)
        {
            group.AddSync(itx);
        }
        else
        {
            group.AddAsync(itx, obj);
        }

        _lock.Exit();
        FreeList(stale);
    }

    /// <summary>The group of a txg; what a txg left there that was never written (a suspended pool) is returned. Lock held.</summary>
    private Itx* Use(ulong txg, out ItxGroup group)
    {
        group = _groups[TxgSlots<int>.Index(txg)];
        Itx* stale = null;
        if (group.Txg != txg)
        {
            stale = group.TakeAll();
            group.Txg = txg;
        }

        return stale;
    }

    private void Promote(ulong obj)
    {
        _lock.Enter();
        PromoteLocked(obj);
        _lock.Exit();
    }

    private void PromoteLocked(ulong obj)
    {
        foreach (ItxGroup group in _groups)
        {
            if (group.Txg != 0)
            {
                group.Promote(obj);
            }
        }
    }

    private void Forget(DmuTx tx, ulong obj)
    {
        // Only of this txg: a record of an older one may be on its way, and does no harm.
        ItxGroup group = _groups[TxgSlots<int>.Index(tx.Txg)];
        _lock.Enter();
        Itx* list = group.Txg == tx.Txg ? group.TakeObject(obj) : null;
        _lock.Exit();
        FreeList(list);
    }
}
