namespace ZfsLite.Fs;

/// <summary>The ZPL behind the FUSE door.</summary>
/// <param name="zfsvfs">A mounted file system.</param>
public sealed unsafe class ZfsvfsFuse(Zfsvfs zfsvfs) : IFuseFileSystem
{
    /// <inheritdoc/>
    public ulong RootObject { get; } = zfsvfs.RootObject;

    /// <inheritdoc/>
    public int GetAttr(ulong obj, out ZnodeAttr attr) => zfsvfs.GetAttr(obj, out attr);

    /// <inheritdoc/>
    public int SetAttr(in Cred cred, ulong obj, SetAttrMask mask, in ZnodeAttr values, out ZnodeAttr attr) =>
        zfsvfs.SetAttr(cred, obj, mask, values, out attr);

    /// <inheritdoc/>
    public int Lookup(ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr) => zfsvfs.Lookup(dir, name, out attr);

    /// <inheritdoc/>
    public int Create(in Cred cred, ulong dir, ReadOnlySpan<byte> name, uint mode, uint rdev, ReadOnlySpan<byte> target, out ZnodeAttr attr) =>
        zfsvfs.Create(cred, dir, name, mode, rdev, target, out attr);

    /// <inheritdoc/>
    public int Unlink(ulong dir, ReadOnlySpan<byte> name) => zfsvfs.Unlink(dir, name);

    /// <inheritdoc/>
    public int Rmdir(ulong dir, ReadOnlySpan<byte> name) => zfsvfs.Rmdir(dir, name);

    /// <inheritdoc/>
    public int Rename(in Cred cred, ulong sourceDir, ReadOnlySpan<byte> sourceName, ulong targetDir, ReadOnlySpan<byte> targetName, uint flags) =>
        zfsvfs.Rename(cred, sourceDir, sourceName, targetDir, targetName, flags);

    /// <inheritdoc/>
    public int Link(ulong obj, ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr) => zfsvfs.Link(obj, dir, name, out attr);

    /// <inheritdoc/>
    public int ReadLink(ulong obj, Span<byte> target, out int length) => zfsvfs.ReadLink(obj, target, out length);

    /// <inheritdoc/>
    public int Open(ulong obj, bool truncate) => zfsvfs.Open(obj, truncate);

    /// <inheritdoc/>
    public int Close(ulong obj) => zfsvfs.Close(obj);

    /// <inheritdoc/>
    public bool KeepCache(ulong obj) => zfsvfs.KeepCache(obj);

    /// <inheritdoc/>
    public int Read(ulong obj, ulong offset, int length, byte* destination, out int done) =>
        zfsvfs.Read(obj, offset, length, destination, out done);

    /// <inheritdoc/>
    public int Write(ulong obj, ulong offset, int length, byte* source, ZplWriteFlags flags, out int done) =>
        zfsvfs.Write(obj, offset, length, source, flags, out done);

    /// <inheritdoc/>
    public int Fsync(ulong obj) => zfsvfs.Fsync(obj);

    /// <inheritdoc/>
    public int Fallocate(ulong obj, int mode, ulong offset, ulong length) => zfsvfs.Fallocate(obj, mode, offset, length);

    /// <inheritdoc/>
    public int Seek(ulong obj, int whence, ulong offset, out ulong result) => zfsvfs.Seek(obj, whence, offset, out result);

    /// <inheritdoc/>
    public int ReadDir(ulong dir, ulong cookie, IDirFiller filler) => zfsvfs.ReadDir(dir, cookie, filler);

    /// <inheritdoc/>
    public int GetXattr(ulong obj, ReadOnlySpan<byte> name, Span<byte> value, out int length) => zfsvfs.GetXattr(obj, name, value, out length);

    /// <inheritdoc/>
    public int SetXattr(in Cred cred, ulong obj, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags) =>
        zfsvfs.SetXattr(cred, obj, name, value, flags);

    /// <inheritdoc/>
    public int ListXattr(ulong obj, Span<byte> list, out int length) => zfsvfs.ListXattr(obj, list, out length);

    /// <inheritdoc/>
    public int RemoveXattr(ulong obj, ReadOnlySpan<byte> name) => zfsvfs.RemoveXattr(obj, name);

    /// <inheritdoc/>
    public int StatFs(out StatFs stat) => zfsvfs.StatFs(out stat);

    /// <inheritdoc/>
    public int SyncFs() => zfsvfs.SyncFs();
}
