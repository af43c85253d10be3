using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// The control directory of a mount: ".zfs" in the root, found by name but not by readdir, as in ZFS. It is no part of the
/// pool: what is in it is made up, read-only, and gone with the mount. A real file of that name is hidden. Everything else goes on to the file system behind it.
/// </summary>
/// <remarks>
/// <para>Object numbers from <see cref="FirstObject"/> on are its own; a file system's end below 2^48. The kernel does not
/// cache its files (FOPEN_DIRECT_IO), since their size is known only when they are read.</para>
/// <para>A file's text is made when it is opened and stays the same for that handle, in however small pieces it is read. At most
/// <see cref="OpenFilesMax"/> texts are kept at once; who opens more is told ENFILE.</para>
/// <para>Handles (name_to_handle_at, NFS) of its files open at any time; those of its directories only while the kernel knows their
/// names, for it finds forgotten ones by reading the directories above, and the root does not list this one: ESTALE until then.</para>
/// <para>An ordinary request pays one comparison of its object number here; reads not even that, for the dispatcher has looked.</para>
/// <para>Locks: _mutex guards the texts; nothing is called under it.</para>
/// </remarks>
public sealed unsafe class ControlDirectory : IFuseFileSystem
{
    /// <summary>The first object number that is the control directory's.</summary>
    public const ulong FirstObject = 0x0000_FFFF_FFFF_0000;

    /// <summary>Files open at once.</summary>
    public const int OpenFilesMax = 256;

    private const uint DirectoryMode = 0x416D;
    private const uint FileMode = 0x8124;
    private const int DirectoryType = 4;
    private const int FileType = 8;

    private static readonly byte[] s_name = [.. ".zfs"u8];

    private readonly IFuseFileSystem _fs;
    private readonly Kmutex _mutex = new("zfsctl");
    private readonly List<ControlNode> _nodes = [];
    private readonly byte[]?[] _texts = new byte[]?[OpenFilesMax];
    private readonly (long Seconds, long Nanoseconds) _made = Kclock.WallTime();

    /// <summary>Puts an empty control directory in front of a file system.</summary>
    public ControlDirectory(IFuseFileSystem fs)
    {
        ArgumentNullException.ThrowIfNull(fs);
        _fs = fs;
        RootObject = fs.RootObject;
        _nodes.Add(new ControlNode(s_name, FirstObject, null, null));
    }

    /// <inheritdoc/>
    public ulong RootObject { get; }

    /// <summary>The file system behind it.</summary>
    internal IFuseFileSystem Behind => _fs;

    /// <summary>Is this object in the control directory?</summary>
    public static bool Owns(ulong obj) => obj >= FirstObject;

    /// <summary>Adds a file, and the directories on the way to it. Before the file system is mounted.</summary>
    /// <param name="path">Its path below .zfs: "kstat/kmem/slab".</param>
    /// <param name="content">Makes the text; called at each open, by any thread.</param>
    public void AddFile(string path, Func<byte[]> content)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(content);
        string[] parts = path.Split('/');
        ControlNode node = _nodes[0];
        for (int i = 0; i < parts.Length; i++)
        {
            byte[] name = System.Text.Encoding.UTF8.GetBytes(parts[i]);
            ControlNode? child = node.Children.Find(c => c.Name.AsSpan().SequenceEqual(name));
            if (child is null)
            {
                child = new ControlNode(name, FirstObject + (ulong)_nodes.Count, node, i == parts.Length - 1 ? content : null);
                _nodes.Add(child);
                node.Children.Add(child);
            }

            node = child;
        }
    }

    /// <inheritdoc/>
    public int GetAttr(ulong obj, out ZnodeAttr attr)
    {
        if (!Owns(obj))
        {
            return _fs.GetAttr(obj, out attr);
        }

        attr = default;
        ControlNode? node = Find(obj);
        if (node is null)
        {
            return Errno.ENOENT;
        }

        attr = Attributes(node);
        return 0;
    }

    /// <inheritdoc/>
    public void Forget(ulong obj)
    {
        if (!Owns(obj))
        {
            _fs.Forget(obj);
        }
    }

    /// <inheritdoc/>
    public int SetAttr(in Cred cred, ulong obj, SetAttrMask mask, in ZnodeAttr values, out ZnodeAttr attr)
    {
        attr = default;
        return Owns(obj) ? Errno.EROFS : _fs.SetAttr(cred, obj, mask, values, out attr);
    }

    /// <inheritdoc/>
    public int Lookup(ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr)
    {
        if (!Owns(dir))
        {
            if (dir != RootObject || !name.SequenceEqual(s_name))
            {
                return _fs.Lookup(dir, name, out attr);
            }

            attr = Attributes(_nodes[0]);
            return 0;
        }

        attr = default;
        ControlNode? node = Find(dir);
        if (node is null)
        {
            return Errno.ENOENT;
        }

        if (node.Content is not null)
        {
            return Errno.ENOTDIR;
        }

        if (name.SequenceEqual(".."u8) && node.Object == FirstObject)
        {
            return _fs.GetAttr(RootObject, out attr);
        }

        ControlNode? found = name.SequenceEqual("."u8) ? node : name.SequenceEqual(".."u8) ? node.Parent : null;
        foreach (ControlNode child in node.Children)
        {
            if (name.SequenceEqual(child.Name))
            {
                found = child;
            }
        }

        if (found is null)
        {
            return Errno.ENOENT;
        }

        attr = Attributes(found);
        return 0;
    }

    /// <inheritdoc/>
    public int Create(in Cred cred, ulong dir, ReadOnlySpan<byte> name, uint mode, uint rdev, ReadOnlySpan<byte> target, out ZnodeAttr attr)
    {
        attr = default;
        int error = Refuse(dir, name);
        return error != 0 ? error : _fs.Create(cred, dir, name, mode, rdev, target, out attr);
    }

    /// <inheritdoc/>
    public int CreateTemporary(in Cred cred, ulong dir, uint mode, out ZnodeAttr attr)
    {
        attr = default;
        return Owns(dir) ? Errno.EROFS : _fs.CreateTemporary(cred, dir, mode, out attr);
    }

    /// <inheritdoc/>
    public int Unlink(ulong dir, ReadOnlySpan<byte> name) => Owns(dir) ? Errno.EROFS : IsOurs(dir, name) ? Errno.EISDIR : _fs.Unlink(dir, name);

    /// <inheritdoc/>
    public int Rmdir(ulong dir, ReadOnlySpan<byte> name) => Owns(dir) || IsOurs(dir, name) ? Errno.EROFS : _fs.Rmdir(dir, name);

    /// <inheritdoc/>
    public int Rename(in Cred cred, ulong sourceDir, ReadOnlySpan<byte> sourceName, ulong targetDir, ReadOnlySpan<byte> targetName, uint flags) =>
        Owns(sourceDir) || Owns(targetDir) || IsOurs(sourceDir, sourceName) || IsOurs(targetDir, targetName)
            ? Errno.EROFS
            : _fs.Rename(cred, sourceDir, sourceName, targetDir, targetName, flags);

    /// <inheritdoc/>
    public int Link(ulong obj, ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr)
    {
        attr = default;
        int error = Owns(obj) ? Errno.EROFS : Refuse(dir, name);
        return error != 0 ? error : _fs.Link(obj, dir, name, out attr);
    }

    /// <inheritdoc/>
    public int ReadLink(ulong obj, Span<byte> target, out int length)
    {
        length = 0;
        return Owns(obj) ? Errno.EINVAL : _fs.ReadLink(obj, target, out length);
    }

    /// <inheritdoc/>
    public int Open(ulong obj, bool truncate)
    {
        if (!Owns(obj))
        {
            return _fs.Open(obj, truncate);
        }

        return Find(obj) is null ? Errno.ENOENT : truncate ? Errno.EROFS : 0;
    }

    /// <summary>Opens a node of the control directory.</summary>
    /// <param name="obj">Object number.</param>
    /// <param name="forChange">To write or to truncate: EROFS.</param>
    /// <param name="handle">Stands for the text until <see cref="CloseFile"/>; 0 for a directory.</param>
    internal int OpenFile(ulong obj, bool forChange, out ulong handle)
    {
        handle = 0;
        int error = Open(obj, forChange);
        if (error != 0 || Find(obj)!.Content is not { } content)
        {
            return error;
        }

        byte[] text = content();
        _mutex.Enter();
        int slot = Array.IndexOf(_texts, null);
        if (slot >= 0)
        {
            _texts[slot] = text;
            handle = (ulong)slot + 1;
        }

        _mutex.Exit();
        return slot >= 0 ? 0 : Errno.ENFILE;
    }

    /// <summary>Reads from the text of a handle. EBADF: there is no such handle; EISDIR: it is a directory's.</summary>
    internal int ReadFile(ulong handle, ulong offset, int length, byte* destination, out int done)
    {
        done = 0;
        if (handle == 0)
        {
            return Errno.EISDIR;
        }

        _mutex.Enter();
        byte[]? text = handle <= OpenFilesMax ? _texts[handle - 1] : null;
        _mutex.Exit();
        if (text is null)
        {
            return Errno.EBADF;
        }

        if (offset < (ulong)text.Length)
        {
            done = Math.Min(length, text.Length - (int)offset);
            text.AsSpan((int)offset, done).CopyTo(new Span<byte>(destination, done));
        }

        return 0;
    }

    /// <summary>Ends a handle.</summary>
    internal void CloseFile(ulong handle)
    {
        if (handle is > 0 and <= OpenFilesMax)
        {
            _mutex.Enter();
            _texts[handle - 1] = null;
            _mutex.Exit();
        }
    }

    /// <inheritdoc/>
    public int Close(ulong obj) => Owns(obj) ? 0 : _fs.Close(obj);

    /// <inheritdoc/>
    public bool KeepCache(ulong obj) => !Owns(obj) && _fs.KeepCache(obj);

    /// <inheritdoc/>
    public int Read(ulong obj, ulong offset, int length, byte* destination, out int done, bool noAtime = false)
    {
        if (!Owns(obj))
        {
            return _fs.Read(obj, offset, length, destination, out done, noAtime);
        }

        done = 0;
        return Errno.EBADF;
    }

    /// <inheritdoc/>
    public int Write(ulong obj, ulong offset, int length, byte* source, ZplWriteFlags flags, out int done)
    {
        done = 0;
        return Owns(obj) ? Errno.EROFS : _fs.Write(obj, offset, length, source, flags, out done);
    }

    /// <inheritdoc/>
    public int Fsync(ulong obj, FsyncWaiter? waiter = null) => Owns(obj) ? 0 : _fs.Fsync(obj, waiter);

    /// <inheritdoc/>
    public int Fallocate(ulong obj, int mode, ulong offset, ulong length) =>
        Owns(obj) ? Errno.EROFS : _fs.Fallocate(obj, mode, offset, length);

    /// <inheritdoc/>
    public int Seek(ulong obj, int whence, ulong offset, out ulong result)
    {
        result = 0;
        return Owns(obj) ? Errno.EINVAL : _fs.Seek(obj, whence, offset, out result);
    }

    /// <inheritdoc/>
    public int ReadDir(ulong dir, ulong cookie, IDirFiller filler)
    {
        ArgumentNullException.ThrowIfNull(filler);
        if (!Owns(dir))
        {
            return _fs.ReadDir(dir, cookie, filler);
        }

        ControlNode? node = Find(dir);
        if (node is null || node.Content is not null)
        {
            return node is null ? Errno.ENOENT : Errno.ENOTDIR;
        }

        for (ulong at = cookie; at < (ulong)node.Children.Count + 2; at++)
        {
            ControlNode entry = at == 0 ? node : at == 1 ? node.Parent : node.Children[(int)at - 2];
            ReadOnlySpan<byte> name = at == 0 ? "."u8 : at == 1 ? ".."u8 : entry.Name;
            ulong obj = at == 1 && dir == FirstObject ? RootObject : entry.Object;
            if (!filler.Add(name, obj, entry.Content is null ? DirectoryType : FileType, at + 1))
            {
                break;
            }
        }

        return 0;
    }

    /// <inheritdoc/>
    public int GetXattr(ulong obj, ReadOnlySpan<byte> name, Span<byte> value, out int length)
    {
        length = 0;
        return Owns(obj) ? Errno.ENODATA : _fs.GetXattr(obj, name, value, out length);
    }

    /// <inheritdoc/>
    public int SetXattr(in Cred cred, ulong obj, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags) =>
        Owns(obj) ? Errno.EROFS : _fs.SetXattr(cred, obj, name, value, flags);

    /// <inheritdoc/>
    public int ListXattr(ulong obj, Span<byte> list, out int length)
    {
        length = 0;
        return Owns(obj) ? 0 : _fs.ListXattr(obj, list, out length);
    }

    /// <inheritdoc/>
    public int RemoveXattr(ulong obj, ReadOnlySpan<byte> name) => Owns(obj) ? Errno.EROFS : _fs.RemoveXattr(obj, name);

    /// <inheritdoc/>
    public int StatFs(out StatFs stat) => _fs.StatFs(out stat);

    /// <inheritdoc/>
    public int SyncFs() => _fs.SyncFs();

    private bool IsOurs(ulong dir, ReadOnlySpan<byte> name) => dir == RootObject && name.SequenceEqual(s_name);

    private int Refuse(ulong dir, ReadOnlySpan<byte> name) => Owns(dir) ? Errno.EROFS : IsOurs(dir, name) ? Errno.EEXIST : 0;

    private ControlNode? Find(ulong obj) => obj - FirstObject < (ulong)_nodes.Count ? _nodes[(int)(obj - FirstObject)] : null;

    private ZnodeAttr Attributes(ControlNode node) => new()
    {
        Object = node.Object,
        Generation = 1,
        Mode = node.Content is null ? DirectoryMode : FileMode,
        Links = node.Content is null ? 2U + (uint)node.Children.Count(static c => c.Content is null) : 1,
        BlockSize = 4096,
        AtimeSec = _made.Seconds,
        MtimeSec = _made.Seconds,
        CtimeSec = _made.Seconds,
        CrtimeSec = _made.Seconds,
        AtimeNsec = (uint)_made.Nanoseconds,
        MtimeNsec = (uint)_made.Nanoseconds,
        CtimeNsec = (uint)_made.Nanoseconds,
        CrtimeNsec = (uint)_made.Nanoseconds,
    };
}
