namespace ZfsLite.Fs;

/// <summary>The ZPL behind the FUSE door.</summary>
/// <param name="zfsvfs">A mounted file system.</param>
public sealed unsafe class ZfsvfsFuse(Zfsvfs zfsvfs) : IFuseFileSystem
{
    private readonly Zfsvfs _zfsvfs = Served(zfsvfs);

    /// <inheritdoc/>
    public ulong RootObject { get; } = zfsvfs.RootObject;

    /// <inheritdoc/>
    public int GetAttr(ulong obj, out ZnodeAttr attr) => _zfsvfs.GetAttr(obj, out attr);

    /// <inheritdoc/>
    public void Forget(ulong obj) => _zfsvfs.Forget(obj);

    /// <inheritdoc/>
    public int SetAttr(in Cred cred, ulong obj, SetAttrMask mask, in ZnodeAttr values, out ZnodeAttr attr) =>
        _zfsvfs.SetAttr(cred, obj, mask, values, out attr);

    /// <inheritdoc/>
    public int Lookup(ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr) => _zfsvfs.Lookup(dir, name, out attr);

    /// <inheritdoc/>
    public int Create(in Cred cred, ulong dir, ReadOnlySpan<byte> name, uint mode, uint rdev, ReadOnlySpan<byte> target, out ZnodeAttr attr) =>
        _zfsvfs.Create(cred, dir, name, mode, rdev, target, out attr);

    /// <inheritdoc/>
    public int CreateTemporary(in Cred cred, ulong dir, uint mode, out ZnodeAttr attr) => _zfsvfs.CreateTemporary(cred, dir, mode, out attr);

    /// <inheritdoc/>
    public int Unlink(ulong dir, ReadOnlySpan<byte> name) => _zfsvfs.Unlink(dir, name);

    /// <inheritdoc/>
    public int Rmdir(ulong dir, ReadOnlySpan<byte> name) => _zfsvfs.Rmdir(dir, name);

    /// <inheritdoc/>
    public int Rename(in Cred cred, ulong sourceDir, ReadOnlySpan<byte> sourceName, ulong targetDir, ReadOnlySpan<byte> targetName, uint flags) =>
        _zfsvfs.Rename(cred, sourceDir, sourceName, targetDir, targetName, flags);

    /// <inheritdoc/>
    public int Link(ulong obj, ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr) => _zfsvfs.Link(obj, dir, name, out attr);

    /// <inheritdoc/>
    public int ReadLink(ulong obj, Span<byte> target, out int length) => _zfsvfs.ReadLink(obj, target, out length);

    /// <inheritdoc/>
    public int Open(ulong obj, bool truncate) => _zfsvfs.Open(obj, truncate);

    /// <inheritdoc/>
    public int Close(ulong obj) => _zfsvfs.Close(obj);

    /// <inheritdoc/>
    public bool KeepCache(ulong obj) => _zfsvfs.KeepCache(obj);

    /// <inheritdoc/>
    public int Read(ulong obj, ulong offset, int length, byte* destination, out int done, bool noAtime = false) =>
        _zfsvfs.Read(obj, offset, length, destination, out done, noAtime);

    /// <inheritdoc/>
    public int Write(ulong obj, ulong offset, int length, byte* source, ZplWriteFlags flags, out int done) =>
        _zfsvfs.Write(obj, offset, length, source, flags, out done);

    /// <inheritdoc/>
    public int Fsync(ulong obj, FsyncWaiter? waiter = null) => _zfsvfs.Fsync(obj, waiter);

    /// <inheritdoc/>
    public int Fallocate(ulong obj, int mode, ulong offset, ulong length) => _zfsvfs.Fallocate(obj, mode, offset, length);

    /// <inheritdoc/>
    public int Seek(ulong obj, int whence, ulong offset, out ulong result) => _zfsvfs.Seek(obj, whence, offset, out result);

    /// <inheritdoc/>
    public int ReadDir(ulong dir, ulong cookie, IDirFiller filler) => _zfsvfs.ReadDir(dir, cookie, filler);

    /// <inheritdoc/>
    public int GetXattr(ulong obj, ReadOnlySpan<byte> name, Span<byte> value, out int length) => _zfsvfs.GetXattr(obj, name, value, out length);

    /// <inheritdoc/>
    public int SetXattr(in Cred cred, ulong obj, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags) =>
        _zfsvfs.SetXattr(cred, obj, name, value, flags);

    /// <inheritdoc/>
    public int ListXattr(ulong obj, Span<byte> list, out int length) => _zfsvfs.ListXattr(obj, list, out length);

    /// <inheritdoc/>
    public int RemoveXattr(ulong obj, ReadOnlySpan<byte> name) => _zfsvfs.RemoveXattr(obj, name);

    /// <inheritdoc/>
    public int StatFs(out StatFs stat) => _zfsvfs.StatFs(out stat);

    /// <inheritdoc/>
    public int SyncFs() => _zfsvfs.SyncFs();

    private static Zfsvfs Served(Zfsvfs zfsvfs)
    {
        zfsvfs.KeepsReplaced = true;
        return zfsvfs;
    }
}
