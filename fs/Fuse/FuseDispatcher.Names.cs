namespace ZfsLite.Fs;

/// <content>Names and attributes.</content>
public sealed unsafe partial class FuseDispatcher
{
    private const uint FattrMode = 1;
    private const uint FattrUid = 2;
    private const uint FattrGid = 4;
    private const uint FattrSize = 8;
    private const uint FattrAtime = 16;
    private const uint FattrMtime = 32;
    private const uint FattrAtimeNow = 128;
    private const uint FattrMtimeNow = 256;
    private const uint FattrCtime = 1024;
    private const uint FattrKillSuidgid = 2048;
    private const int SymlinkMax = 4095;

    private int Lookup(FuseRequest request)
    {
        var args = new FuseArgs(request);
        int error = args.TakeName(out ReadOnlySpan<byte> name);
        if (error != 0)
        {
            return error;
        }

        // A handle's "." may be any object, not only a directory.
        ulong obj = Object(request.Header->NodeId);
        ZnodeAttr attr;
        if (name.SequenceEqual("."u8))
        {
            error = _fs.GetAttr(obj, out attr);
            return ReplyEntry(request, error, attr);
        }

        error = _fs.Lookup(obj, name, out attr);
        if (error == Errno.ENOENT && !name.SequenceEqual(".."u8))
        {
            // Node id 0: the kernel remembers that there is no such name.
            var entry = (FuseEntryOut*)request.Reply;
            *entry = default;
            entry->EntryValid = LongValidSeconds;
            request.ReplyFixed(sizeof(FuseEntryOut));
            return 0;
        }

        return ReplyEntry(request, error, attr);
    }

    private void Forget(FuseRequest request)
    {
        if (request.Opcode == FuseOpcode.Forget)
        {
            _fs.Forget(Object(request.Header->NodeId));
            return;
        }

        var args = new FuseArgs(request);
        if (args.Take(out FuseBatchForgetIn* batch))
        {
            for (uint i = 0; i < batch->Count && args.Take(out FuseForgetOne* one); i++)
            {
                _fs.Forget(Object(one->NodeId));
            }
        }
    }

    private int GetAttr(FuseRequest request)
    {
        int error = _fs.GetAttr(Object(request.Header->NodeId), out ZnodeAttr attr);
        return ReplyAttr(request, error, attr);
    }

    private int SetAttr(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseSetAttrIn* set))
        {
            return Errno.EINVAL;
        }

        uint valid = set->Valid;
        if ((valid & FattrSize) != 0 && set->Size > long.MaxValue)
        {
            return Errno.EFBIG;
        }

        if (set->AtimeNsec >= 1_000_000_000 || set->MtimeNsec >= 1_000_000_000 || set->CtimeNsec >= 1_000_000_000)
        {
            return Errno.EINVAL;
        }

        ulong obj = Object(request.Header->NodeId);
        SetAttrMask mask = Mask(valid);
        if ((mask & (SetAttrMask.Uid | SetAttrMask.Gid | SetAttrMask.Size)) != 0)
        {
            int error = DropPrivileges(obj, (mask & (SetAttrMask.Uid | SetAttrMask.Gid)) != 0, ref mask);
            if (error != 0)
            {
                return error;
            }
        }

        var values = new ZnodeAttr
        {
            Mode = set->Mode,
            Uid = set->Uid,
            Gid = set->Gid,
            Size = set->Size,
            AtimeSec = set->Atime,
            AtimeNsec = set->AtimeNsec,
            MtimeSec = set->Mtime,
            MtimeNsec = set->MtimeNsec,
            CtimeSec = set->Ctime,
            CtimeNsec = set->CtimeNsec,
        };
        if (mask is SetAttrMask.None or SetAttrMask.Ctime)
        {
            int error = DropSetIdAlone(request, obj, ref mask, ref values);
            if (error != 0)
            {
                return error;
            }
        }

        int result = mask == SetAttrMask.None
            ? _fs.GetAttr(obj, out ZnodeAttr attr)
            : _fs.SetAttr(Who(request), obj, mask, values, out attr);
        return ReplyAttr(request, result, attr);
    }

    private static SetAttrMask Mask(uint valid)
    {
        SetAttrMask mask = SetAttrMask.None;
        mask |= (valid & FattrMode) != 0 ? SetAttrMask.Mode : 0;
        mask |= (valid & FattrUid) != 0 ? SetAttrMask.Uid : 0;
        mask |= (valid & FattrGid) != 0 ? SetAttrMask.Gid : 0;
        mask |= (valid & FattrSize) != 0 ? SetAttrMask.Size : 0;
        mask |= (valid & FattrAtimeNow) != 0 ? SetAttrMask.AtimeNow : (valid & FattrAtime) != 0 ? SetAttrMask.Atime : 0;
        mask |= (valid & FattrMtimeNow) != 0 ? SetAttrMask.MtimeNow : (valid & FattrMtime) != 0 ? SetAttrMask.Mtime : 0;
        mask |= (valid & FattrCtime) != 0 ? SetAttrMask.Ctime : 0;
        mask |= (valid & FattrKillSuidgid) != 0 ? SetAttrMask.KillSuidgid : 0;
        return mask;
    }

    /// <summary>
    /// A request that sets nothing is how the kernel has set-id bits taken away before a change (it knows the groups and rights of
    /// who makes it); one that sets the time of change alone is chown(-1, -1), which takes them too, if it is allowed at all.
    /// </summary>
    private int DropSetIdAlone(FuseRequest request, ulong obj, ref SetAttrMask mask, ref ZnodeAttr values)
    {
        int error = _fs.GetAttr(obj, out ZnodeAttr attr);
        if (error != 0 || (attr.Mode & TypeMask) != TypeRegular || (attr.Mode & SetIdBits) == 0)
        {
            return error;
        }

        bool groupMayExecute = (attr.Mode & GroupExecuteBit) != 0;
        if (mask == SetAttrMask.Ctime)
        {
            if ((attr.Mode & SetUserIdBit) != 0 || groupMayExecute)
            {
                uint who = request.Header->Uid;
                mask |= SetAttrMask.KillSuidgid;
                error = who == 0 || who == attr.Uid ? 0 : Errno.EPERM;
            }
        }
        else if ((attr.Mode & SetUserIdBit) == 0 && !groupMayExecute)
        {
            // Nothing else is there that the kernel could mean.
            mask = SetAttrMask.Mode;
            values.Mode = attr.Mode & ~SetIdBits;
        }
        else
        {
            mask = SetAttrMask.KillSuidgid;
        }

        return error;
    }

    /// <summary>Takes from a program file what a change of its content or owner must not keep.</summary>
    private int DropPrivileges(ulong obj, bool newOwner, ref SetAttrMask mask)
    {
        int error = _fs.GetAttr(obj, out ZnodeAttr attr);
        if (error != 0)
        {
            return error;
        }

        if ((attr.Mode & TypeMask) == TypeDirectory)
        {
            return 0;
        }

        if (newOwner)
        {
            mask |= SetAttrMask.KillSuidgid;
        }

        return DropCapability(obj, attr.Mode);
    }

    private int DropCapability(ulong obj, uint mode)
    {
        if ((mode & TypeMask) != TypeRegular || (mode & ExecuteBits) == 0)
        {
            return 0;
        }

        int error = _fs.GetXattr(obj, "security.capability"u8, default, out _);
        if (error == 0)
        {
            error = _fs.RemoveXattr(obj, "security.capability"u8);
        }

        return error is Errno.ENODATA or Errno.EOPNOTSUPP ? 0 : error;
    }

    private int ReadLink(FuseRequest request)
    {
        byte* buffer = request.DataBuffer(0);
        int error = _fs.ReadLink(Object(request.Header->NodeId), new Span<byte>(buffer, SymlinkMax), out int length);
        if (error == 0)
        {
            request.ReplyData(length);
        }

        return error;
    }

    private int Symlink(FuseRequest request)
    {
        var args = new FuseArgs(request);
        int error = args.TakeNewName(out ReadOnlySpan<byte> name);
        if (error != 0)
        {
            return error;
        }

        if (!args.TakeString(out ReadOnlySpan<byte> target) || target.Length == 0)
        {
            return Errno.EINVAL;
        }

        if (target.Length > SymlinkMax)
        {
            return Errno.ENAMETOOLONG;
        }

        error = _fs.Create(Who(request), Object(request.Header->NodeId), name, TypeSymlink | 0x1FF, 0, target, out ZnodeAttr attr);
        return ReplyEntry(request, error, attr);
    }

    private int Mknod(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseMknodIn* node))
        {
            return Errno.EINVAL;
        }

        int error = args.TakeNewName(out ReadOnlySpan<byte> name);
        if (error != 0)
        {
            return error;
        }

        uint type = node->Mode & TypeMask;
        if (type is TypeDirectory or TypeSymlink)
        {
            return Errno.EINVAL;
        }

        uint mode = type == 0 ? node->Mode | TypeRegular : node->Mode;
        error = _fs.Create(Who(request), Object(request.Header->NodeId), name, mode & 0xFFFF, node->Rdev, default, out ZnodeAttr attr);
        return ReplyEntry(request, error, attr);
    }

    private int Mkdir(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseMkdirIn* dir))
        {
            return Errno.EINVAL;
        }

        int error = args.TakeNewName(out ReadOnlySpan<byte> name);
        if (error != 0)
        {
            return error;
        }

        uint mode = (dir->Mode & 0xFFF) | TypeDirectory;
        error = _fs.Create(Who(request), Object(request.Header->NodeId), name, mode, 0, default, out ZnodeAttr attr);
        return ReplyEntry(request, error, attr);
    }

    private int Remove(FuseRequest request, bool directory)
    {
        var args = new FuseArgs(request);
        int error = args.TakeNewName(out ReadOnlySpan<byte> name);
        if (error != 0)
        {
            return error;
        }

        ulong dir = Object(request.Header->NodeId);
        return directory ? _fs.Rmdir(dir, name) : _fs.Unlink(dir, name);
    }

    private int Rename(FuseRequest request)
    {
        const uint noReplace = 1, exchange = 2;
        var args = new FuseArgs(request);
        ulong newDir;
        uint flags = 0;
        if (request.Opcode == FuseOpcode.Rename)
        {
            if (!args.Take(out FuseRenameIn* rename))
            {
                return Errno.EINVAL;
            }

            newDir = rename->NewDir;
        }
        else
        {
            if (!args.Take(out FuseRename2In* rename))
            {
                return Errno.EINVAL;
            }

            newDir = rename->NewDir;
            flags = rename->Flags;
        }

        int error = args.TakeNewName(out ReadOnlySpan<byte> from);
        if (error == 0)
        {
            error = args.TakeNewName(out ReadOnlySpan<byte> to);
            if (error == 0)
            {
                return flags is 0 or noReplace or exchange
                    ? _fs.Rename(Who(request), Object(request.Header->NodeId), from, Object(newDir), to, flags)
                    : Errno.EINVAL;
            }
        }

        return error;
    }

    private int Link(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseLinkIn* link))
        {
            return Errno.EINVAL;
        }

        int error = args.TakeNewName(out ReadOnlySpan<byte> name);
        if (error != 0)
        {
            return error;
        }

        error = _fs.Link(Object(link->OldNodeId), Object(request.Header->NodeId), name, out ZnodeAttr attr);
        return ReplyEntry(request, error, attr);
    }

    private int StatFs(FuseRequest request)
    {
        int error = _fs.StatFs(out StatFs stat);
        if (error == 0)
        {
            var reply = (FuseStatFsOut*)request.Reply;
            *reply = default;
            reply->Blocks = stat.Blocks;
            reply->BlocksFree = stat.BlocksFree;
            reply->BlocksAvailable = stat.BlocksAvailable;
            reply->Files = stat.Files;
            reply->FilesFree = stat.FilesFree;
            reply->BlockSize = stat.RecordSize;
            reply->FragmentSize = stat.BlockSize;
            reply->NameLength = stat.NameMax;
            request.ReplyFixed(sizeof(FuseStatFsOut));
        }

        return error;
    }
}
