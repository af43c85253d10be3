using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// Doing a record of the intent log again (zfs_replay_*). At mount, in one thread. Extended attributes are objects without
/// znodes: records about them are recognised by what they name.
/// </summary>
public sealed unsafe partial class Zfsvfs
{
    private const ulong ReplayXattrMax = 16 << 20;

    /// <summary>0 or an errno; EOPNOTSUPP: a kind of record that is not known here.</summary>
    internal int Replay(ZilRecord* r)
    {
        using FstransCookie mark = Fstrans.MarkEntry();
        try
        {
            switch (r->Kind)
            {
                case ZilTx.Create:
                case ZilTx.MakeDirectory:
                case ZilTx.MakeXattr:
                case ZilTx.Symlink:
                    return ReplayCreate(r);
                case ZilTx.Remove:
                case ZilTx.RemoveDirectory:
                    return ReplayRemove(r);
                case ZilTx.Link:
                    return NamesOf(r, ZilRecord.LinkSize, out ReadOnlySpan<byte> name, out _) ? Link(r->Word[1], r->Word[0], name, out _) : Errno.EINVAL;
                case ZilTx.Rename:
                    return NamesOf(r, ZilRecord.LinkSize, out ReadOnlySpan<byte> source, out ReadOnlySpan<byte> target) && target.Length > 0
                        ? Rename(default, r->Word[0], source, r->Word[1], target, 0) : Errno.EINVAL;
                case ZilTx.Write:
                case ZilTx.Write2:
                    return ReplayWrite(r);
                case ZilTx.Truncate:
                    return ReplayTruncate(r);
                case ZilTx.SetAttr:
                    return ReplaySetAttr(r);
                default:
                    return Errno.EOPNOTSUPP;
            }
        }
        catch (ZfsException e)
        {
            return ErrnoOf(e);
        }
    }

    /// <summary>One or two names behind the fixed part, each with its NUL, the second one for what needs it.</summary>
    private static bool NamesOf(ZilRecord* r, int fixedSize, out ReadOnlySpan<byte> first, out ReadOnlySpan<byte> second)
    {
        second = default;
        var rest = new ReadOnlySpan<byte>((byte*)r + fixedSize, (int)r->Length - fixedSize);
        int end = rest.IndexOf((byte)0);
        first = end < 0 ? default : rest[..end];
        if (end < 0)
        {
            return false;
        }

        rest = rest[(end + 1)..];
        end = rest.IndexOf((byte)0);
        second = end < 0 ? default : rest[..end];
        return true;
    }

    private int ReplayCreate(ZilRecord* r)
    {
        if (!NamesOf(r, ZilRecord.CreateSize, out ReadOnlySpan<byte> name, out ReadOnlySpan<byte> target))
        {
            return Errno.EINVAL;
        }

        ulong parent = r->Word[0];
        var mode = (uint)r->Word[2];
        var cred = new Cred((uint)r->Word[3], (uint)r->Word[4]);
        _replayAs = new ReplayIdentity(r->Word[5], (long)r->Word[6], (long)r->Word[7]) { IsGiven = true };
        _os.WantedObject = r->Word[1];
        try
        {
            if (r->Kind == ZilTx.MakeXattr)
            {
                return ReplayXattrDirectory(parent, cred, mode);
            }

            if (TryHoldXattr(parent, DmuOt.DirectoryContents) is { } dir)
            {
                using var held = new DnodeHold(dir);
                return ReplayXattrFile(dir, name, cred, mode);
            }

            return Create(cred, parent, name, mode, FromDiskRdev(r->Word[8]), r->Kind == ZilTx.Symlink ? target : default, out _);
        }
        finally
        {
            _replayAs = default;
            _os.WantedObject = 0;
        }
    }

    private int ReplayRemove(ZilRecord* r)
    {
        if (!NamesOf(r, ZilRecord.RemoveSize, out ReadOnlySpan<byte> name, out _))
        {
            return Errno.EINVAL;
        }

        if (TryHoldXattr(r->Word[0], DmuOt.DirectoryContents) is { } dir)
        {
            using var held = new DnodeHold(dir);
            return ReplayXattrRemove(dir, name);
        }

        return RemoveName(r->Word[0], name, r->Kind == ZilTx.RemoveDirectory);
    }

    private int ReplayWrite(ZilRecord* r)
    {
        ulong obj = r->Word[0];
        ulong offset = r->Word[1];
        ulong length = r->Word[2];
        if (offset > long.MaxValue || length > long.MaxValue - offset)
        {
            return Errno.EINVAL;
        }

        if (r->Kind == ZilTx.Write2)
        {
            return ReplayGrow(obj, offset + length);
        }

        if (r->Length > ZilRecord.WriteSize)
        {
            return length <= r->Length - ZilRecord.WriteSize ? ReplayBytes(obj, offset, (int)length, (byte*)r + ZilRecord.WriteSize) : Errno.EINVAL;
        }

        // The data are a block of the file as a whole.
        Blkptr bp = r->WriteBlock;
        int size = bp.IsHole ? (int)Math.Min(length, ZioBuf.MaxSize) : bp.LogicalSize;
        if (size > ZioBuf.MaxSize || size == 0)
        {
            return size == 0 ? 0 : Errno.EINVAL;
        }

        ulong start = length < (ulong)size ? offset - (offset % (ulong)size) : offset;
        byte* data = ZioBuf.Alloc(size, KmFlags.Sleep);
        try
        {
            if (bp.IsHole)
            {
                new Span<byte>(data, size).Clear();
            }
            else if (_os.Spa.ReadBlock(bp, data) != 0)
            {
                return Errno.EIO;
            }

            // The whole block, whose tail later records may rely on; the file ends where the write did.
            _replayEnd = offset + length;
            return ReplayBytes(obj, start, size, data);
        }
        finally
        {
            _replayEnd = 0;
            ZioBuf.Free(data, size);
        }
    }

    private int ReplayBytes(ulong obj, ulong offset, int length, byte* data)
    {
        if (TryHoldXattr(obj, DmuOt.PlainFileContents) is { } file)
        {
            using var held = new DnodeHold(file);
            return ReplayXattrBytes(file, offset, length, data);
        }

        int error = Write(obj, offset, length, data, ZplWriteFlags.None, out int done);
        return error != 0 ? error : done == length ? 0 : Errno.ENOSPC;
    }

    private int SizeOfFile(ulong obj, out ulong size)
    {
        if (TryHoldXattr(obj, DmuOt.PlainFileContents) is { } file)
        {
            using var held = new DnodeHold(file);
            size = ((ZnodePhys*)file.Bonus)->Size;
            return 0;
        }

        int error = GetAttr(obj, out ZnodeAttr attr);
        size = attr.Size;
        return error;
    }

    private int ReplaySize(ulong obj, ulong size)
    {
        if (TryHoldXattr(obj, DmuOt.PlainFileContents) is { } file)
        {
            using var held = new DnodeHold(file);
            return ReplayXattrSize(file, size);
        }

        return SetAttr(default, obj, SetAttrMask.Size, new ZnodeAttr { Size = size }, out _);
    }

    private int ReplayGrow(ulong obj, ulong end)
    {
        int error = SizeOfFile(obj, out ulong size);
        return error == 0 && end > size ? ReplaySize(obj, end) : error;
    }

    private int ReplayTruncate(ZilRecord* r)
    {
        ulong obj = r->Word[0];
        ulong offset = r->Word[1];
        ulong length = r->Word[2];
        if (length == 0)
        {
            return ReplaySize(obj, offset);
        }

        int error = Fallocate(obj, FallocatePunchHole | FallocateKeepSize, offset, length);
        return error == 0 ? ReplayGrow(obj, offset + length) : error;
    }

    private int ReplaySetAttr(ZilRecord* r)
    {
        ulong obj = r->Word[0];
        if (TryHoldXattr(obj, DmuOt.None) is { } dn)
        {
            // Owner and mode of an attribute's file are of no consequence.
            dn.Release();
            return 0;
        }

        ulong given = r->Word[1];
        SetAttrMask mask = ((given & ZilRecord.MaskMode) != 0 ? SetAttrMask.Mode : 0)
            | ((given & ZilRecord.MaskUid) != 0 ? SetAttrMask.Uid : 0)
            | ((given & ZilRecord.MaskGid) != 0 ? SetAttrMask.Gid : 0)
            | ((given & ZilRecord.MaskSize) != 0 ? SetAttrMask.Size : 0)
            | ((given & ZilRecord.MaskAtime) != 0 ? SetAttrMask.Atime : 0)
            | ((given & ZilRecord.MaskMtime) != 0 ? SetAttrMask.Mtime : 0);
        var values = new ZnodeAttr
        {
            Mode = (uint)r->Word[2],
            Uid = (uint)r->Word[3],
            Gid = (uint)r->Word[4],
            Size = r->Word[5],
            AtimeSec = (long)r->Word[6],
            AtimeNsec = Nanoseconds((long)r->Word[7]),
            MtimeSec = (long)r->Word[8],
            MtimeNsec = Nanoseconds((long)r->Word[9]),
        };
        return mask == SetAttrMask.None ? 0 : SetAttr(default, obj, mask, values, out _);
    }

    /// <summary>Holds an object that belongs to extended attributes, of a type (None: any); null if it is none.</summary>
    private Dnode? TryHoldXattr(ulong obj, DmuOt type)
    {
        Dnode? dn = _os.TryHoldObject(obj);
        if (dn is null)
        {
            return null;
        }

        if ((type == DmuOt.None || dn.Type == type) && dn.BonusType == DmuOt.Znode && dn.BonusLength >= ZnodePhys.SizeOf && IsXattrObject(dn))
        {
            return dn;
        }

        dn.Release();
        return null;
    }

    private int ReplayXattrDirectory(ulong obj, Cred owner, uint mode)
    {
        Znode? z = null;
        int error = ZplMode.IsValid(mode) && ZplMode.IsType(mode, ZplMode.Directory) ? _cache.Get(obj, out z) : Errno.EINVAL;
        if (error != 0)
        {
            return error;
        }

        DmuTx? tx = null;
        try
        {
            if (z!.Phys->Xattr != 0)
            {
                return Errno.EEXIST;
            }

            tx = DmuTx.Create(_txg);
            tx.HoldBonus(z.Dnode!);
            tx.HoldNewObject(_os, ZapLimits.MicroBlockStep);
            error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                return error;
            }

            Dnode dir = Zap.Create(_os, DmuOt.DirectoryContents, DmuOt.Znode, ZnodePhys.SizeOf, tx, _normFlags);
            InitPhys(dir, owner, mode, obj, NewFileFlags | ZnodePhys.FlagXattr, tx);
            z.Dnode!.DirtyBonus(tx);
            z.Phys->Xattr = dir.Object;
            z.LastTxg = tx.Txg;
            _log!.LogCreate(tx, ZilTx.MakeXattr, obj, dir, default);
            dir.Release();
            tx.Commit();
            tx = null;
            return 0;
        }
        finally
        {
            EndFailed(tx);
            Put(z);
        }
    }

    private int ReplayXattrFile(Dnode dir, ReadOnlySpan<byte> name, Cred owner, uint mode)
    {
        int error = ZplMode.IsValid(mode) && ZplMode.IsType(mode, ZplMode.Regular) ? CheckNewName(name) : Errno.EINVAL;
        if (error != 0)
        {
            return error;
        }

        Dnode? file = null;
        DmuTx? tx = DmuTx.Create(_txg);
        try
        {
            tx.HoldZap(dir, add: true);
            tx.HoldBonus(dir);
            tx.HoldNewObject(_os, 0);
            error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                return error;
            }

            file = _os.AllocateObject(DmuOt.PlainFileContents, 512, DmuOt.Znode, ZnodePhys.SizeOf, tx);
            InitPhys(file, owner, mode, dir.Object, NewFileFlags | ZnodePhys.FlagXattr, tx);
            error = Zap.Add(dir, name, MakeEntry(mode, file.Object), tx);
            if (error != 0)
            {
                _os.FreeObject(file, tx);
            }
            else
            {
                TouchXattrDir(dir, 1, tx);
                _log!.LogCreate(tx, ZilTx.Create, dir.Object, file, name);
            }

            tx.Commit();
            tx = null;
            return error;
        }
        finally
        {
            EndFailed(tx);
            file?.Release();
        }
    }

    private int ReplayXattrRemove(Dnode dir, ReadOnlySpan<byte> name)
    {
        Dnode? file = HoldXattrFile(dir, name);
        if (file is null)
        {
            return Errno.ENOENT;
        }

        DmuTx? tx = null;
        try
        {
            FreeData(file, 0);
            tx = DmuTx.Create(_txg);
            tx.HoldZap(dir, add: false);
            tx.HoldBonus(dir);
            tx.HoldFree(file, 0, ulong.MaxValue);
            int error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                return error;
            }

            error = DeleteXattr(dir, name, tx);
            FreeOptional(error == 0 ? file : null, tx);
            _log!.LogUnloggable(tx);
            tx.Commit();
            tx = null;
            return error;
        }
        finally
        {
            EndFailed(tx);
            file.Release();
        }
    }

    private int ReplayXattrBytes(Dnode file, ulong offset, int length, byte* data)
    {
        if (offset + (ulong)length > ReplayXattrMax)
        {
            return Errno.EFBIG;
        }

        DmuTx? tx = DmuTx.Create(_txg);
        try
        {
            int end = (int)offset + length;
            int grown = end > file.BlockSize && file.MaxBlockId == 0 && file.Levels == 1 ? Math.Min((end + 511) & ~511, RecordSize) : 0;
            tx.HoldBonus(file);
            tx.HoldWrite(file, 0, Math.Max(end, grown));
            int error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                return error;
            }

            if (grown > file.BlockSize)
            {
                file.SetBlockSize(grown, tx);
            }

            file.Write(offset, length, data, tx);
            file.DirtyBonus(tx);
            var phys = (ZnodePhys*)file.Bonus;
            phys->Size = Math.Max(phys->Size, _replayEnd == 0 ? (ulong)end : Math.Min((ulong)end, _replayEnd));
            tx.Commit();
            tx = null;
            return 0;
        }
        finally
        {
            EndFailed(tx);
        }
    }

    private int ReplayXattrSize(Dnode file, ulong size)
    {
        DmuTx? tx = DmuTx.Create(_txg);
        try
        {
            tx.HoldBonus(file);
            tx.HoldFree(file, size, ulong.MaxValue);
            int error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                return error;
            }

            file.FreeRange(size, ulong.MaxValue, tx);
            file.DirtyBonus(tx);
            ((ZnodePhys*)file.Bonus)->Size = size;
            tx.Commit();
            tx = null;
            return 0;
        }
        finally
        {
            EndFailed(tx);
        }
    }

    /// <summary>Lets go of a held object at the end of a block.</summary>
    private readonly ref struct DnodeHold(Dnode dn)
    {
        public void Dispose() => dn.Release();
    }
}
