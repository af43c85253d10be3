namespace ZfsLite.Fs;

/// <content>What Linux has beyond POSIX: files without a name, flags of files, the time of birth, copies within the kernel.</content>
public sealed unsafe partial class FuseDispatcher
{
    private const uint GetFlagsCommand = 0x80086601;
    private const uint SetFlagsCommand = 0x40086602;
    private const uint GetExtendedCommand = 0x801C581F;
    private const uint SetExtendedCommand = 0x401C5820;
    private const uint StatxBasic = 0x7FF;
    private const uint StatxBirth = 0x800;
    private const int FlagsReplyMax = 64;

    private static readonly (ZnodeFlags Ours, uint Linux)[] s_flags =
        [(ZnodeFlags.Immutable, 0x10), (ZnodeFlags.AppendOnly, 0x20), (ZnodeFlags.NoDump, 0x40)];

    private static readonly (ZnodeFlags Ours, uint Linux)[] s_extendedFlags =
        [(ZnodeFlags.Immutable, 0x8), (ZnodeFlags.AppendOnly, 0x10), (ZnodeFlags.NoDump, 0x80)];

    private int TmpFile(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseCreateIn* create))
        {
            return Errno.EINVAL;
        }

        uint mode = (create->Mode & 0xFFF) | TypeRegular;
        int error = _fs.CreateTemporary(Who(request), Object(request.Header->NodeId), mode, out ZnodeAttr attr);
        return error != 0 ? error : ReplyCreated(request, attr, create->Flags);
    }

    /// <summary>
    /// The flags of a file, in both forms that Linux has: FS_IOC_GETFLAGS with SETFLAGS, and FS_IOC_FSGETXATTR with FSSETXATTR, which
    /// the kernel uses itself to look before it sets. It has checked who asks. Anything else: ENOTTY.
    /// </summary>
    private int Ioctl(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseIoctlIn* ioctl))
        {
            return Errno.EINVAL;
        }

        switch (ioctl->Command)
        {
            case GetFlagsCommand:
                return GetFlags(request, ioctl->OutSize, s_flags);
            case GetExtendedCommand:
                return GetFlags(request, ioctl->OutSize, s_extendedFlags);
            case SetFlagsCommand:
                return args.Take(out uint* flags) ? SetFlags(request, *flags, s_flags) : Errno.EINVAL;
            case SetExtendedCommand:
                return args.Take(out uint* extended) ? SetFlags(request, *extended, s_extendedFlags) : Errno.EINVAL;
            default:
                return Errno.ENOTTY;
        }
    }

    private int GetFlags(FuseRequest request, uint size, (ZnodeFlags Ours, uint Linux)[] names)
    {
        if (size is < sizeof(uint) or > FlagsReplyMax)
        {
            return Errno.EINVAL;
        }

        int error = _fs.GetAttr(Object(request.Header->NodeId), out ZnodeAttr attr);
        if (error != 0)
        {
            return error;
        }

        uint flags = 0;
        foreach ((ZnodeFlags ours, uint linux) in names)
        {
            flags |= (attr.Flags & ours) != 0 ? linux : 0;
        }

        return ReplyIoctl(request, flags, (int)size);
    }

    private int SetFlags(FuseRequest request, uint flags, (ZnodeFlags Ours, uint Linux)[] names)
    {
        var values = new ZnodeAttr();
        foreach ((ZnodeFlags ours, uint linux) in names)
        {
            values.Flags |= (flags & linux) != 0 ? ours : 0;
            flags &= ~linux;
        }

        int error = flags != 0 ? Errno.EOPNOTSUPP : _fs.SetAttr(Who(request), Object(request.Header->NodeId), SetAttrMask.Flags, values, out _);
        return error != 0 ? error : ReplyIoctl(request, 0, 0);
    }

    private static int ReplyIoctl(FuseRequest request, uint flags, int bytes)
    {
        var reply = (FuseIoctlOut*)request.Reply;
        *reply = default;
        new Span<byte>(reply + 1, bytes).Clear();
        if (bytes > 0)
        {
            *(uint*)(reply + 1) = flags;
        }

        request.ReplyFixed(sizeof(FuseIoctlOut) + bytes);
        return 0;
    }

    /// <summary>The kernel asks this way only when somebody wants the time of birth.</summary>
    private int Statx(FuseRequest request)
    {
        int error = _fs.GetAttr(Object(request.Header->NodeId), out ZnodeAttr attr);
        if (error != 0)
        {
            return error;
        }

        var reply = (FuseStatxOut*)request.DataBuffer(0);
        *reply = default;
        reply->AttrValid = AttrValid(attr, Kmem.Spl.Kclock.WallTime().Seconds);
        reply->Mask = StatxBasic | StatxBirth;
        reply->BlockSize = attr.BlockSize;
        reply->Links = attr.Links;
        reply->Uid = attr.Uid;
        reply->Gid = attr.Gid;
        reply->Mode = (ushort)attr.Mode;
        reply->Ino = attr.Object;
        reply->Size = attr.Size;
        reply->Blocks = attr.Blocks;
        reply->Atime = new FuseStatxTime { Seconds = attr.AtimeSec, Nanoseconds = attr.AtimeNsec };
        reply->Mtime = new FuseStatxTime { Seconds = attr.MtimeSec, Nanoseconds = attr.MtimeNsec };
        reply->Ctime = new FuseStatxTime { Seconds = attr.CtimeSec, Nanoseconds = attr.CtimeNsec };
        reply->Btime = new FuseStatxTime { Seconds = attr.CrtimeSec, Nanoseconds = attr.CrtimeNsec };
        reply->RdevMajor = (attr.Rdev >> 8) & 0xFFF;
        reply->RdevMinor = (attr.Rdev & 0xFF) | ((attr.Rdev >> 12) & 0xFFF00);
        request.ReplyData(sizeof(FuseStatxOut));
        return 0;
    }

    /// <summary>
    /// Copies in the daemon: a byte passes through one buffer and never through the kernel, which has written back both ranges
    /// before, and forgets the pages of the target after. At most one request's worth at a time; the kernel asks for the rest.
    /// </summary>
    private int CopyFileRange(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseCopyFileRangeIn* asked) || asked->Flags != 0 || asked->OffsetIn > long.MaxValue || asked->OffsetOut > long.MaxValue)
        {
            return Errno.EINVAL;
        }

        FuseCopyFileRangeIn copy = *asked;

        ulong from = Object(request.Header->NodeId), to = Object(copy.NodeIdOut);
        if (ControlDirectory.Owns(from) || ControlDirectory.Owns(to))
        {
            return Errno.EOPNOTSUPP;
        }

        ulong wanted = Math.Min(copy.Length, Math.Min((ulong)request.DataCapacity, long.MaxValue - Math.Max(copy.OffsetIn, copy.OffsetOut)));
        ZplWriteFlags flags = request.Header->Uid == 0 ? ZplWriteFlags.None : ZplWriteFlags.KillSuidgid;
        uint total = 0;
        while (total < wanted)
        {
            var length = (int)Math.Min(wanted - total, Record);
            byte* buffer = request.DataBuffer(0);
            int written = 0;
            int error = _data.Read(from, copy.OffsetIn + total, length, buffer, out int read);
            if (error == 0 && read > 0)
            {
                error = _data.Write(to, copy.OffsetOut + total, read, buffer, flags, out written);
            }

            total += (uint)written;
            if (error != 0 && total == 0)
            {
                return error;
            }

            if (error != 0 || written < length)
            {
                break;
            }
        }

        // In the newer form of the request the count is one of 64 bits.
        *(ulong*)request.Reply = 0;
        if (request.Opcode == FuseOpcode.CopyFileRange64)
        {
            *(ulong*)request.Reply = total;
        }
        else
        {
            ((FuseWriteOut*)request.Reply)->Size = total;
        }

        request.ReplyFixed(sizeof(ulong));
        return 0;
    }
}
