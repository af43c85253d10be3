namespace ZfsLite.Fs;

/// <summary>
/// A mounted file system (zfsvfs_t): the ZPL as a plain API by object number. Every method is an entry point: it marks the
/// thread under policy fstrans, and returns 0 or a positive errno. Permission bits are not checked here: the FUSE mount uses
/// default_permissions, the kernel checks them.
/// </summary>
public sealed unsafe class Zfsvfs
{
#pragma warning disable CS1591 // Documented with the implementation.
    public const ulong MaxNameLength = 255;

    public ulong RootObject => throw new NotSupportedException();
    public bool IsReadOnly => throw new NotSupportedException();
    public AtimeMode Atime { get; set; }
    public int RecordSize => throw new NotSupportedException();

    /// <summary>Mounts a dataset's head or a snapshot: checks versions, drains the delete queue unless read-only.</summary>
    public static Zfsvfs Mount(Objset os, bool readOnly, AtimeMode atime) => throw new NotSupportedException();

    /// <summary>Writes every dirty atime, waits for the txg (unless read-only), drops all znodes.</summary>
    public void Unmount() => throw new NotSupportedException();

    public int GetAttr(ulong obj, out ZnodeAttr attr) => throw new NotSupportedException();
    public int SetAttr(in Cred cred, ulong obj, SetAttrMask mask, in ZnodeAttr values, out ZnodeAttr attr) => throw new NotSupportedException();

    /// <summary>"." and ".." are understood (NFS handles need them).</summary>
    public int Lookup(ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr) => throw new NotSupportedException();

    /// <summary>Creates a regular file, directory, special file or (with target) symbolic link: the type is in mode (S_IFMT).</summary>
    public int Create(in Cred cred, ulong dir, ReadOnlySpan<byte> name, uint mode, uint rdev, ReadOnlySpan<byte> target, out ZnodeAttr attr) => throw new NotSupportedException();
    public int Unlink(ulong dir, ReadOnlySpan<byte> name) => throw new NotSupportedException();
    public int Rmdir(ulong dir, ReadOnlySpan<byte> name) => throw new NotSupportedException();

    /// <summary>rename(2) and renameat2: flags RENAME_NOREPLACE 1, RENAME_EXCHANGE 2.</summary>
    public int Rename(in Cred cred, ulong sourceDir, ReadOnlySpan<byte> sourceName, ulong targetDir, ReadOnlySpan<byte> targetName, uint flags) => throw new NotSupportedException();
    public int Link(ulong obj, ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr) => throw new NotSupportedException();
    public int ReadLink(ulong obj, Span<byte> target, out int length) => throw new NotSupportedException();

    /// <summary>A handle was opened on the object; the znode stays until the matching Close. O_TRUNC truncates.</summary>
    public int Open(ulong obj, bool truncate) => throw new NotSupportedException();
    public int Close(ulong obj) => throw new NotSupportedException();

    /// <summary>True if an open should keep the kernel's page cache: atime off, or relatime with no update due.</summary>
    public bool KeepCache(ulong obj) => throw new NotSupportedException();

    /// <summary>Reads up to length bytes; 0 at the end of the file. Updates atime in memory.</summary>
    public int Read(ulong obj, ulong offset, int length, byte* destination, out int done) => throw new NotSupportedException();
    public int Write(ulong obj, ulong offset, int length, byte* source, bool killSuidgid, out int done) => throw new NotSupportedException();

    /// <summary>Waits until everything about the object is on stable storage.</summary>
    public int Fsync(ulong obj) => throw new NotSupportedException();

    /// <summary>fallocate(2): mode 0 and KEEP_SIZE (1) reserve nothing but succeed as far as size goes; PUNCH_HOLE (2) and ZERO_RANGE (16).</summary>
    public int Fallocate(ulong obj, int mode, ulong offset, ulong length) => throw new NotSupportedException();

    /// <summary>lseek SEEK_DATA 3, SEEK_HOLE 4.</summary>
    public int Seek(ulong obj, int whence, ulong offset, out ulong result) => throw new NotSupportedException();

    /// <summary>Entries from a cookie (0: start, with "." and ".." first).</summary>
    public int ReadDir(ulong dir, ulong cookie, IDirFiller filler) => throw new NotSupportedException();

    /// <summary>value empty: only the length. ENODATA, ERANGE.</summary>
    public int GetXattr(ulong obj, ReadOnlySpan<byte> name, Span<byte> value, out int length) => throw new NotSupportedException();

    /// <summary>flags XATTR_CREATE 1, XATTR_REPLACE 2.</summary>
    public int SetXattr(in Cred cred, ulong obj, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags) => throw new NotSupportedException();
    public int ListXattr(ulong obj, Span<byte> list, out int length) => throw new NotSupportedException();
    public int RemoveXattr(ulong obj, ReadOnlySpan<byte> name) => throw new NotSupportedException();
    public int StatFs(out StatFs stat) => throw new NotSupportedException();

    /// <summary>Everything that was written before the call is on stable storage after it.</summary>
    public int SyncFs() => throw new NotSupportedException();
#pragma warning restore CS1591
}
