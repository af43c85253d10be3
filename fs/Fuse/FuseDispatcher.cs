using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Turns FUSE requests into calls of an <see cref="IFuseFileSystem"/> and its answers into replies.
/// </summary>
/// <remarks>
/// <para>Node ids. The kernel's node id of an object is its object number, the root's is 1 (object 1 is the master node, so
/// nothing collides). A node id therefore resolves without any table: after FORGET, after a restart of the daemon, and for
/// NFS, whose handles make the kernel LOOKUP "." and ".." on an id it only read from a handle; it checks the generation
/// itself. FORGET ends the life of a file that a rename replaced, and means nothing else. st_ino is the object number, of the root too, and equals readdir's d_ino.</para>
/// <para>How long the kernel may believe what it was told. Names: an hour, found or not found, for no one but this mount's
/// kernel changes them (it updates its own cache). Attributes: the kernel knows its own changes to sizes, times and links,
/// and asks again for an access time after reads that came here; what it can't know is the count of blocks, which the pool
/// settles when a txg syncs. So attributes are good for an hour if the last change (ctime) lies a minute back, and for a
/// second otherwise.</para>
/// <para>Writeback cache. The kernel owns size and mtime of a file it caches and sends them by SETATTR, ctime included; it
/// reads through write-only handles, and it handles O_APPEND itself. So OPEN checks no access mode and WRITE appends
/// nothing. An open keeps the kernel's cached pages unless a read has to be seen for the access time.</para>
/// <para>Data and holes. The kernel does not write dirty pages out before it asks for them (seen on 6.18), and its size may be ahead
/// of ours, unknown. So while a handle is open for writing, SEEK_DATA and SEEK_HOLE are answered apart, after the kernel was made
/// to send its pages (<see cref="IFusePageFlusher"/>). The client holds the inode's lock meanwhile, so no write comes between, and
/// its size was set by writes whose last page is sent now or by requests that we saw: it is ours. Only mappings may dirty more pages, as
/// on any file system. Where the kernel can't be made to (a daemon without root's rights, an old kernel), the answer is EINVAL, "not
/// supported here", after which cp and tar look for zeros themselves, and their copies are whole and sparse. What we know would
/// make them lose data; "all is data" up to the size we know would lose the tail or go round for ever.</para>
/// <para>Set-id bits (HANDLE_KILLPRIV_V2) are cleared here: as the kernel marks in WRITE, OPEN and SETATTR, and on every
/// change of owner of a file. A file capability is dropped when a program file is opened for writing, truncated or given
/// away: earlier than the kernel would, never later for a handle opened after it was set. fallocate carries no such mark: it
/// clears them unless root asks. A set-group-id bit without group execute, which means nothing to exec, is taken from strangers'
/// files only by requests that ask for just that: who belongs to a group by a supplementary one the kernel alone knows.</para>
/// <para>Immutable and append-only files. The kernel knows these flags only while they are read or set; the ZPL refuses what
/// they forbid, and an open for writing is refused here, where its flags are known. A handle that was opened before goes on
/// writing: the kernel may have its pages already, and they must not be lost.</para>
/// <para>Access times. A READ on a handle with O_NOATIME is not noted, nor one on a write-only handle: that is the kernel
/// bringing in a page that is written in part.</para>
/// <para>Errors. A ZfsException gives its errno (a bad checksum: EIO); any other exception is reported and gives EIO. A
/// malformed message gives EINVAL. Nothing a message holds ends the daemon.</para>
/// </remarks>
public sealed unsafe partial class FuseDispatcher : IFuseHandler
{
    private const ulong LongValidSeconds = 3600;
    private const ulong ShortValidSeconds = 1;
    private const long SettledAfterSeconds = 60;
    private const int AccessModeMask = 3;
    private const int OWrOnly = 1;
    private const int OTrunc = 0x200;
    private const uint ODsync = 0x1000;
    private const int OAppend = 0x400;
    private const int ONoAtime = 0x40000;
    private const uint TypeMask = 0xF000;
    private const uint TypeDirectory = 0x4000;
    private const uint TypeRegular = 0x8000;
    private const uint TypeSymlink = 0xA000;
    private const uint ExecuteBits = 0x49;
    private const uint SetIdBits = 0xC00;
    private const uint SetUserIdBit = 0x800;
    private const uint GroupExecuteBit = 0x8;

    private readonly IFuseFileSystem _fs;
    private readonly IFuseFileSystem _data;
    private readonly ControlDirectory? _control;
    private readonly TextWriter? _log;
    private readonly Kmutex _logMutex = new("fuse_log");
    private readonly ulong _root;
    private readonly FuseWriters? _writers;

    /// <summary>Makes a dispatcher.</summary>
    /// <param name="fs">The file system.</param>
    /// <param name="log">Where unexpected exceptions are reported, or null.</param>
    /// <param name="writebackCache">The session offers the kernel the writeback cache.</param>
    public FuseDispatcher(IFuseFileSystem fs, TextWriter? log, bool writebackCache)
    {
        _writers = writebackCache ? new FuseWriters() : null;
        ArgumentNullException.ThrowIfNull(fs);
        _fs = fs;
        _control = fs as ControlDirectory;
        _data = _control?.Behind ?? fs;
        _log = log;
        _root = fs.RootObject;
    }

    /// <inheritdoc/>
    public bool MayWaitForTxg(FuseRequest request)
    {
        switch (request.Opcode)
        {
            case FuseOpcode.Forget:
            case FuseOpcode.BatchForget:
            case FuseOpcode.SetAttr:
            case FuseOpcode.Symlink:
            case FuseOpcode.Mknod:
            case FuseOpcode.Mkdir:
            case FuseOpcode.Unlink:
            case FuseOpcode.Rmdir:
            case FuseOpcode.Rename:
            case FuseOpcode.Rename2:
            case FuseOpcode.Link:
            case FuseOpcode.Write:
            case FuseOpcode.Release:
            case FuseOpcode.Fsync:
            case FuseOpcode.FsyncDir:
            case FuseOpcode.SyncFs:
            case FuseOpcode.SetXattr:
            case FuseOpcode.RemoveXattr:
            case FuseOpcode.Create:
            case FuseOpcode.Fallocate:
            case FuseOpcode.TmpFile:
            case FuseOpcode.CopyFileRange:
            case FuseOpcode.CopyFileRange64:
            case FuseOpcode.Ioctl:
                return true;
            case FuseOpcode.Open:
                var args = new FuseArgs(request);
                return args.Take(out FuseOpenIn* open) && (open->Flags & (OTrunc | AccessModeMask)) != 0;
            default:
                return false;
        }
    }

    /// <inheritdoc/>
    public bool NeedsPages(FuseRequest request) => request.Opcode == FuseOpcode.Lseek && HasWriters(Object(request.Header->NodeId));

    /// <inheritdoc/>
    public bool Handle(FuseRequest request)
    {
        try
        {
            int error = Dispatch(request);
            if (error == Errno.EINPROGRESS)
            {
                return false;
            }

            if (!request.IsReplied)
            {
                Answer(request, error);
            }
        }
        catch (ZfsException e)
        {
            Report(request, e);
            Answer(request, e.Errno == Errno.ECKSUM ? Errno.EIO : e.Errno);
        }
        catch (Exception e) when (e is not SimAbortException and not OutOfMemoryException && !Kthread.Current.HoldsLocks)
        {
            // An error that was not foreseen spoils one request. One that has left a lock taken, or that may have struck anywhere (the
            // managed heap is at its end), ends the daemon: a mount that is gone loses less than one that hangs.
            Report(request, e);
            Answer(request, Errno.EIO);
        }

        return true;
    }

    private static void Answer(FuseRequest request, int error)
    {
        if (request.IsReplied)
        {
            return;
        }

        if (error == 0)
        {
            request.ReplyEmpty();
        }
        else
        {
            request.ReplyError(error is > 0 and < 512 ? error : Errno.EIO);
        }
    }

    private int Dispatch(FuseRequest request)
    {
        switch (request.Opcode)
        {
            case FuseOpcode.Forget:
            case FuseOpcode.BatchForget:
                request.NoReply();
                Forget(request);
                return 0;
            case FuseOpcode.Lookup:
                return Lookup(request);
            case FuseOpcode.GetAttr:
                return GetAttr(request);
            case FuseOpcode.SetAttr:
                return SetAttr(request);
            case FuseOpcode.ReadLink:
                return ReadLink(request);
            case FuseOpcode.Symlink:
                return Symlink(request);
            case FuseOpcode.Mknod:
                return Mknod(request);
            case FuseOpcode.Mkdir:
                return Mkdir(request);
            case FuseOpcode.Unlink:
                return Remove(request, false);
            case FuseOpcode.Rmdir:
                return Remove(request, true);
            case FuseOpcode.Rename:
            case FuseOpcode.Rename2:
                return Rename(request);
            case FuseOpcode.Link:
                return Link(request);
            case FuseOpcode.Open:
            case FuseOpcode.OpenDir:
                return Open(request);
            case FuseOpcode.Create:
                return Create(request);
            case FuseOpcode.Release:
            case FuseOpcode.ReleaseDir:
                return Release(request);
            case FuseOpcode.Read:
                return Read(request);
            case FuseOpcode.Write:
                return Write(request);
            case FuseOpcode.ReadDir:
            case FuseOpcode.ReadDirPlus:
                return ReadDir(request);
            case FuseOpcode.StatFs:
                return StatFs(request);
            case FuseOpcode.Fsync:
            case FuseOpcode.FsyncDir:
                return _fs.Fsync(Object(request.Header->NodeId), request);
            case FuseOpcode.SyncFs:
                return _fs.SyncFs();
            case FuseOpcode.SetXattr:
                return SetXattr(request);
            case FuseOpcode.GetXattr:
            case FuseOpcode.ListXattr:
                return GetXattr(request);
            case FuseOpcode.RemoveXattr:
                return RemoveXattr(request);
            case FuseOpcode.Fallocate:
                return Fallocate(request);
            case FuseOpcode.Lseek:
                return Lseek(request);
            case FuseOpcode.Destroy:
                return 0;
            case FuseOpcode.Flush:
                // Nothing to do at close: the kernel writes its pages back first, and after this answer it asks no more.
                return Errno.ENOSYS;
            case FuseOpcode.Ioctl:
                return Ioctl(request);
            case FuseOpcode.Statx:
                return Statx(request);
            case FuseOpcode.TmpFile:
                return TmpFile(request);
            case FuseOpcode.CopyFileRange:
            case FuseOpcode.CopyFileRange64:
                return CopyFileRange(request);
            default:
                return Errno.ENOSYS;
        }
    }

    private ulong Object(ulong nodeId) => nodeId == 1 ? _root : nodeId;

    private ulong Node(ulong obj) => obj == _root ? 1 : obj;

    private static Cred Who(FuseRequest request) => new(request.Header->Uid, request.Header->Gid);

    private static ulong AttrValid(in ZnodeAttr attr, long now) =>
        attr.CtimeSec <= now - SettledAfterSeconds ? LongValidSeconds : ShortValidSeconds;

    private static void Encode(in ZnodeAttr attr, FuseAttr* to)
    {
        to->Ino = attr.Object;
        to->Size = attr.Size;
        to->Blocks = attr.Blocks;
        to->Atime = attr.AtimeSec;
        to->Mtime = attr.MtimeSec;
        to->Ctime = attr.CtimeSec;
        to->AtimeNsec = attr.AtimeNsec;
        to->MtimeNsec = attr.MtimeNsec;
        to->CtimeNsec = attr.CtimeNsec;
        to->Mode = attr.Mode;
        to->Links = attr.Links;
        to->Uid = attr.Uid;
        to->Gid = attr.Gid;
        to->Rdev = attr.Rdev;
        to->BlockSize = attr.BlockSize;
        to->Flags = 0;
    }

    private void EncodeEntry(in ZnodeAttr attr, FuseEntryOut* to)
    {
        to->NodeId = Node(attr.Object);
        to->Generation = attr.Generation;
        to->EntryValid = LongValidSeconds;
        to->EntryValidNsec = 0;
        to->AttrValid = AttrValid(attr, Kclock.WallTime().Seconds);
        to->AttrValidNsec = 0;
        Encode(attr, &to->Attr);
    }

    private int ReplyEntry(FuseRequest request, int error, in ZnodeAttr attr)
    {
        if (error == 0)
        {
            EncodeEntry(attr, (FuseEntryOut*)request.Reply);
            request.ReplyFixed(sizeof(FuseEntryOut));
        }

        return error;
    }

    private static int ReplyAttr(FuseRequest request, int error, in ZnodeAttr attr)
    {
        if (error == 0)
        {
            var reply = (FuseAttrOut*)request.Reply;
            *reply = default;
            reply->AttrValid = AttrValid(attr, Kclock.WallTime().Seconds);
            Encode(attr, &reply->Attr);
            request.ReplyFixed(sizeof(FuseAttrOut));
        }

        return error;
    }

    private void Report(FuseRequest request, Exception e)
    {
        if (_log is null)
        {
            return;
        }

        _logMutex.Enter();
        try
        {
            _log.WriteLine(e is ZfsException
                ? $"fuse: {request.Opcode} of object {Object(request.Header->NodeId)}: {e.Message}"
                : $"fuse: {request.Opcode} of object {Object(request.Header->NodeId)} failed: {e}");
            _log.Flush();
        }
        finally
        {
            _logMutex.Exit();
        }
    }
}
