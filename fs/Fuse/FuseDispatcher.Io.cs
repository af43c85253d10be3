namespace ZfsLite.Fs;

/// <content>Handles, data, directories and extended attributes.</content>
public sealed unsafe partial class FuseDispatcher
{
    private const uint OpenDirectIo = 1;
    private const uint OpenKeepCache = 2;
    private const uint OpenCacheDir = 8;
    private const uint WriteCache = 1;
    private const uint WriteKillSuidgid = 4;
    private const uint OpenKillSuidgid = 1;
    private const int Record = FuseSessionOptions.RecordBytes;
    private const int XattrMax = 65536;

    [ThreadStatic]
    private static FuseDirFiller? t_filler;

    private int Open(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseOpenIn* open))
        {
            return Errno.EINVAL;
        }

        ulong obj = Object(request.Header->NodeId);
        bool directory = request.Opcode == FuseOpcode.OpenDir;
        bool truncate = !directory && (open->Flags & OTrunc) != 0;
        bool forWriting = !directory && (open->Flags & AccessModeMask) != 0;
        if (ControlDirectory.Owns(obj) && _control is not null)
        {
            return OpenControl(request, obj, directory, truncate || forWriting);
        }

        ZnodeAttr attr = default;
        int error = forWriting || truncate ? MayOpenForWriting(obj, (open->Flags & OAppend) != 0 && !truncate, out attr) : 0;
        if (error == 0)
        {
            error = _fs.Open(obj, truncate);
        }

        if (error != 0)
        {
            return error;
        }

        if (forWriting || truncate)
        {
            error = OpenedForWriting(request, attr, (open->OpenFlags & OpenKillSuidgid) != 0);
            if (error != 0)
            {
                _fs.Close(obj);
                return error;
            }
        }

        if (forWriting)
        {
            _writers?.Add(obj);
        }

        var reply = (FuseOpenOut*)request.Reply;
        *reply = default;
        reply->OpenFlags = (directory ? OpenCacheDir : 0) | (_fs.KeepCache(obj) || (open->Flags & ONoAtime) != 0 ? OpenKeepCache : 0);
        request.ReplyFixed(sizeof(FuseOpenOut));
        return 0;
    }

    private int OpenControl(FuseRequest request, ulong obj, bool directory, bool forChange)
    {
        int error = _control!.OpenFile(obj, forChange, out ulong handle);
        if (error == 0)
        {
            var reply = (FuseOpenOut*)request.Reply;
            *reply = default;
            reply->Handle = handle;
            reply->OpenFlags = directory ? OpenCacheDir : OpenDirectIo;
            request.ReplyFixed(sizeof(FuseOpenOut));
        }

        return error;
    }

    /// <summary>What the flags of a file allow: of an immutable one nothing, of an append-only one appending.</summary>
    private int MayOpenForWriting(ulong obj, bool toAppend, out ZnodeAttr attr)
    {
        int error = _fs.GetAttr(obj, out attr);
        bool refused = (attr.Flags & ZnodeFlags.Immutable) != 0 || ((attr.Flags & ZnodeFlags.AppendOnly) != 0 && !toAppend);
        return error != 0 ? error : refused ? Errno.EPERM : 0;
    }

    private int OpenedForWriting(FuseRequest request, in ZnodeAttr attr, bool killSuidgid)
    {
        int error = DropCapability(attr.Object, attr.Mode);
        if (error == 0 && killSuidgid)
        {
            error = _fs.SetAttr(Who(request), attr.Object, SetAttrMask.KillSuidgid, attr, out _);
        }

        return error;
    }

    private int Create(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseCreateIn* create))
        {
            return Errno.EINVAL;
        }

        int error = args.TakeNewName(out ReadOnlySpan<byte> name);
        if (error != 0)
        {
            return error;
        }

        uint mode = (create->Mode & 0xFFF) | TypeRegular;
        error = _fs.Create(Who(request), Object(request.Header->NodeId), name, mode, 0, default, out ZnodeAttr attr);
        if (error == 0)
        {
            error = _fs.Open(attr.Object, false);
        }

        return error != 0 ? error : ReplyCreated(request, attr, create->Flags);
    }

    /// <summary>Answers with a new file that is open.</summary>
    private int ReplyCreated(FuseRequest request, in ZnodeAttr attr, uint flags)
    {
        if ((flags & AccessModeMask) != 0)
        {
            _writers?.Add(attr.Object);
        }

        EncodeEntry(attr, (FuseEntryOut*)request.Reply);
        var reply = (FuseOpenOut*)(request.Reply + sizeof(FuseEntryOut));
        *reply = default;
        reply->OpenFlags = _fs.KeepCache(attr.Object) ? OpenKeepCache : 0;
        request.ReplyFixed(sizeof(FuseEntryOut) + sizeof(FuseOpenOut));
        return 0;
    }

    private int Release(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseReleaseIn* release))
        {
            return Errno.EINVAL;
        }

        ulong obj = Object(request.Header->NodeId);
        if (request.Opcode == FuseOpcode.Release && (release->Flags & AccessModeMask) != 0)
        {
            _writers?.Remove(obj);
        }

        if (ControlDirectory.Owns(obj) && _control is not null)
        {
            _control.CloseFile(release->Handle);
            return 0;
        }

        return _fs.Close(obj);
    }

    private int Read(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseReadIn* read) || read->Size > (uint)request.DataCapacity || read->Offset > long.MaxValue)
        {
            return Errno.EINVAL;
        }

        ulong obj = Object(request.Header->NodeId);
        bool control = ControlDirectory.Owns(obj) && _control is not null;
        bool noAtime = (read->Flags & ONoAtime) != 0 || (read->Flags & AccessModeMask) == OWrOnly;
        ulong offset = read->Offset;
        int wanted = (int)Math.Min(read->Size, (ulong)long.MaxValue - offset);
        int total = 0;
        for (int piece = 0; total < wanted; piece++)
        {
            int length = Math.Min(Record, wanted - total);
            int done;
            int error = control
                ? _control!.ReadFile(read->Handle, offset + (ulong)total, length, request.DataBuffer(piece), out done)
                : _data.Read(obj, offset + (ulong)total, length, request.DataBuffer(piece), out done, noAtime);
            if (error != 0)
            {
                // What was read before the bad part is good; the kernel asks again for the rest.
                if (total == 0)
                {
                    return error;
                }

                break;
            }

            total += done;
            if (done < length)
            {
                break;
            }
        }

        request.ReplyData(total);
        return 0;
    }

    private int Write(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseWriteIn* write) || write->Size != (uint)request.PayloadLength)
        {
            return Errno.EINVAL;
        }

        if (write->Offset > long.MaxValue || write->Offset + write->Size > long.MaxValue)
        {
            return Errno.EFBIG;
        }

        ulong obj = Object(request.Header->NodeId);
        ZplWriteFlags flags = ((write->WriteFlags & WriteKillSuidgid) != 0 ? ZplWriteFlags.KillSuidgid : ZplWriteFlags.None)
            | ((write->WriteFlags & WriteCache) != 0 ? ZplWriteFlags.Cached : (write->Flags & ODsync) != 0 ? ZplWriteFlags.Sync : ZplWriteFlags.None);
        uint total = 0;
        for (int piece = 0; total < write->Size; piece++)
        {
            byte* data = request.PayloadPiece(piece, out int length);
            int error = _fs.Write(obj, write->Offset + total, length, data, flags, out int done);
            if (error != 0 && total + (uint)done == 0)
            {
                return error;
            }

            total += (uint)done;
            if (error != 0 || done < length)
            {
                break;
            }
        }

        var reply = (FuseWriteOut*)request.Reply;
        *reply = default;
        reply->Size = total;
        request.ReplyFixed(sizeof(FuseWriteOut));
        return 0;
    }

    private int ReadDir(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseReadIn* read))
        {
            return Errno.EINVAL;
        }

        bool plus = request.Opcode == FuseOpcode.ReadDirPlus;
        byte* buffer = request.DataBuffer(0);
        FuseDirFiller filler = t_filler ??= new FuseDirFiller();
        filler.Reset(buffer, (int)Math.Min(read->Size, Record), plus);
        int error = _fs.ReadDir(Object(request.Header->NodeId), read->Offset, filler);
        if (error != 0 && filler.Used == 0)
        {
            return error;
        }

        if (filler.Used == 0 && filler.IsFull)
        {
            return Errno.EINVAL;
        }

        if (plus)
        {
            AddAttributes(buffer, filler.Used);
        }

        request.ReplyData(filler.Used);
        return 0;
    }

    /// <summary>Fills in the entries of READDIRPLUS. An object that went away meanwhile, "." and ".." get no node id.</summary>
    private void AddAttributes(byte* buffer, int used)
    {
        for (int at = 0; at < used;)
        {
            var entry = (FuseEntryOut*)(buffer + at);
            var dirent = (FuseDirent*)(entry + 1);
            byte* name = (byte*)(dirent + 1);
            bool dot = name[0] == '.' && (dirent->NameLength == 1 || (dirent->NameLength == 2 && name[1] == '.'));
            if (!dot && _fs.GetAttr(dirent->Ino, out ZnodeAttr attr) == 0)
            {
                EncodeEntry(attr, entry);
            }

            at += FuseDirFiller.Align(sizeof(FuseEntryOut) + sizeof(FuseDirent) + (int)dirent->NameLength);
        }
    }

    private int SetXattr(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseSetXattrIn* set) || !args.TakeString(out ReadOnlySpan<byte> name)
            || !args.TakeBytes(set->Size, out ReadOnlySpan<byte> value))
        {
            return Errno.EINVAL;
        }

        int error = CheckXattrName(name);
        return error != 0 ? error
            : value.Length > XattrMax ? Errno.E2BIG
            : _fs.SetXattr(Who(request), Object(request.Header->NodeId), name, value, (int)set->Flags);
    }

    private int GetXattr(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseGetXattrIn* get))
        {
            return Errno.EINVAL;
        }

        ulong obj = Object(request.Header->NodeId);
        byte* buffer = request.DataBuffer(0);
        var room = new Span<byte>(buffer, (int)Math.Min(get->Size, Record));
        int error;
        int length;
        if (request.Opcode == FuseOpcode.ListXattr)
        {
            error = request.Header->Uid == 0 ? _fs.ListXattr(obj, room, out length) : ListForUser(obj, buffer, room.Length, out length);
        }
        else
        {
            if (!args.TakeString(out ReadOnlySpan<byte> name))
            {
                return Errno.EINVAL;
            }

            error = CheckXattrName(name);
            if (error != 0)
            {
                return error;
            }

            error = _fs.GetXattr(obj, name, room, out length);
        }

        if (error != 0)
        {
            return error;
        }

        if (get->Size == 0)
        {
            var reply = (FuseGetXattrOut*)request.Reply;
            *reply = default;
            reply->Size = (uint)length;
            request.ReplyFixed(sizeof(FuseGetXattrOut));
            return 0;
        }

        if (length > room.Length)
        {
            return Errno.ERANGE;
        }

        request.ReplyData(length);
        return 0;
    }

    private int RemoveXattr(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.TakeString(out ReadOnlySpan<byte> name))
        {
            return Errno.EINVAL;
        }

        int error = CheckXattrName(name);
        return error != 0 ? error : _fs.RemoveXattr(Object(request.Header->NodeId), name);
    }

    /// <summary>The names that an ordinary user is shown: "trusted." ones are root's alone.</summary>
    private int ListForUser(ulong obj, byte* buffer, int room, out int length)
    {
        int error = _fs.ListXattr(obj, new Span<byte>(buffer, Record), out int all);
        length = 0;
        for (int at = 0; error == 0 && at < all;)
        {
            int name = new ReadOnlySpan<byte>(buffer + at, all - at).IndexOf((byte)0) + 1;
            if (!new ReadOnlySpan<byte>(buffer + at, name).StartsWith("trusted."u8))
            {
                new ReadOnlySpan<byte>(buffer + at, name).CopyTo(new Span<byte>(buffer + length, name));
                length += name;
            }

            at += name;
        }

        return error == 0 && room != 0 && length > room ? Errno.ERANGE : error;
    }

    private static int CheckXattrName(ReadOnlySpan<byte> name) =>
        name.Length == 0 ? Errno.EINVAL : name.Length > 255 ? Errno.ERANGE : 0;

    private int Fallocate(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseFallocateIn* range) || range->Length == 0)
        {
            return Errno.EINVAL;
        }

        if (range->Offset > long.MaxValue || range->Length > long.MaxValue - range->Offset)
        {
            return Errno.EFBIG;
        }

        ulong obj = Object(request.Header->NodeId);
        int error = request.Header->Uid == 0 ? 0 : DropSetId(request, obj);
        return error != 0 ? error : _fs.Fallocate(obj, (int)range->Mode, range->Offset, range->Length);
    }

    private int DropSetId(FuseRequest request, ulong obj)
    {
        int error = _fs.GetAttr(obj, out ZnodeAttr attr);
        return error == 0 && (attr.Mode & TypeMask) == TypeRegular && (attr.Mode & SetIdBits) != 0
            ? _fs.SetAttr(Who(request), obj, SetAttrMask.KillSuidgid, attr, out _)
            : error;
    }

    private int Lseek(FuseRequest request)
    {
        var args = new FuseArgs(request);
        if (!args.Take(out FuseLseekIn* seek) || seek->Whence is not (3 or 4))
        {
            return Errno.EINVAL;
        }

        ulong obj = Object(request.Header->NodeId);
        int error = 0;
        if (HasWriters(obj))
        {
            error = _fs.GetAttr(obj, out ZnodeAttr attr);
            if (error == 0 && !request.FlushPages(attr.Generation))
            {
                error = Errno.EINVAL;
            }
        }

        if (error != 0)
        {
            return error;
        }

        error = _fs.Seek(obj, (int)seek->Whence, seek->Offset, out ulong result);
        if (error == 0)
        {
            ((FuseLseekOut*)request.Reply)->Offset = result;
            request.ReplyFixed(sizeof(FuseLseekOut));
        }

        return error;
    }

    private bool HasWriters(ulong obj) => _writers is { } writers && writers.Contains(obj);
}
