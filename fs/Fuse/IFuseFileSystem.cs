namespace ZfsLite.Fs;

/// <summary>
/// A file system by object number, as the FUSE door needs it: the mirror of <see cref="Zfsvfs"/>, which is its main
/// implementation. Every method returns 0 or a positive errno, may throw <see cref="ZfsException"/>, and is called by many
/// threads at once. Permissions are checked by the kernel.
/// </summary>
public unsafe interface IFuseFileSystem
{
    /// <summary>Object number of the root directory.</summary>
    ulong RootObject { get; }

    /// <summary>Attributes. ENOENT: no such object (any more).</summary>
    int GetAttr(ulong obj, out ZnodeAttr attr);

    /// <summary>The kernel no longer knows this object.</summary>
    void Forget(ulong obj);

    /// <summary>Changes the attributes in the mask; returns all.</summary>
    int SetAttr(in Cred cred, ulong obj, SetAttrMask mask, in ZnodeAttr values, out ZnodeAttr attr);

    /// <summary>Finds a name; "." and ".." too.</summary>
    int Lookup(ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr);

    /// <summary>Creates a file of the type in the mode; a symbolic link gets the target.</summary>
    int Create(in Cred cred, ulong dir, ReadOnlySpan<byte> name, uint mode, uint rdev, ReadOnlySpan<byte> target, out ZnodeAttr attr);

    /// <summary>Creates a regular file without a name and opens it. It goes with its last handle, unless it was linked by then.</summary>
    int CreateTemporary(in Cred cred, ulong dir, uint mode, out ZnodeAttr attr);

    /// <summary>Removes a name that is no directory.</summary>
    int Unlink(ulong dir, ReadOnlySpan<byte> name);

    /// <summary>Removes an empty directory.</summary>
    int Rmdir(ulong dir, ReadOnlySpan<byte> name);

    /// <summary>Renames; flags as renameat2(2): NOREPLACE 1, EXCHANGE 2.</summary>
    int Rename(in Cred cred, ulong sourceDir, ReadOnlySpan<byte> sourceName, ulong targetDir, ReadOnlySpan<byte> targetName, uint flags);

    /// <summary>Adds a name to an object.</summary>
    int Link(ulong obj, ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr);

    /// <summary>Reads a symbolic link's target.</summary>
    int ReadLink(ulong obj, Span<byte> target, out int length);

    /// <summary>A handle was opened; the object lives until the matching <see cref="Close"/>.</summary>
    int Open(ulong obj, bool truncate);

    /// <summary>A handle was closed.</summary>
    int Close(ulong obj);

    /// <summary>True if opening need not drop the kernel's cached pages: no access time is due.</summary>
    bool KeepCache(ulong obj);

    /// <summary>Reads; <paramref name="done"/> falls short only at the end of the file. With <paramref name="noAtime"/> the access time stays.</summary>
    int Read(ulong obj, ulong offset, int length, byte* destination, out int done, bool noAtime = false);

    /// <summary>Writes; <paramref name="done"/> may fall short when space runs out.</summary>
    int Write(ulong obj, ulong offset, int length, byte* source, ZplWriteFlags flags, out int done);

    /// <summary>Everything about the object is on stable storage when it returns 0. Given a waiter that can leave, it returns EINPROGRESS
    /// instead, and the waiter is told then, or was already.</summary>
    int Fsync(ulong obj, FsyncWaiter? waiter = null);

    /// <summary>fallocate(2).</summary>
    int Fallocate(ulong obj, int mode, ulong offset, ulong length);

    /// <summary>SEEK_DATA 3, SEEK_HOLE 4.</summary>
    int Seek(ulong obj, int whence, ulong offset, out ulong result);

    /// <summary>Offers entries from a cookie on until the filler is full.</summary>
    int ReadDir(ulong dir, ulong cookie, IDirFiller filler);

    /// <summary>Reads an extended attribute; an empty value asks for the length alone.</summary>
    int GetXattr(ulong obj, ReadOnlySpan<byte> name, Span<byte> value, out int length);

    /// <summary>Sets an extended attribute; flags XATTR_CREATE 1, XATTR_REPLACE 2.</summary>
    int SetXattr(in Cred cred, ulong obj, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags);

    /// <summary>Names of extended attributes, each with a terminator; an empty list asks for the length alone.</summary>
    int ListXattr(ulong obj, Span<byte> list, out int length);

    /// <summary>Removes an extended attribute.</summary>
    int RemoveXattr(ulong obj, ReadOnlySpan<byte> name);

    /// <summary>statfs(2).</summary>
    int StatFs(out StatFs stat);

    /// <summary>Everything written before is on stable storage.</summary>
    int SyncFs();
}
