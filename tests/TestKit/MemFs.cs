using System.Text;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.TestKit;

/// <summary>
/// A complete file system in memory behind <see cref="IFuseFileSystem"/>: what the FUSE door is tested with, and the null
/// file system that shows the door's own ceiling. Lock order: namespace lock, then a file's own lock.
/// </summary>
public sealed unsafe partial class MemFs : IFuseFileSystem
{
    private const int Chunk = 128 << 10;
    private const uint TypeMask = 0xF000;
    private const uint Directory = 0x4000;
    private const uint Regular = 0x8000;
    private const uint Symlink = 0xA000;
    private const ulong FirstCookie = 2;
    private const ulong SizeMax = 1UL << 40;

    private readonly Krwlock _tree = new("memfs_tree");
    private readonly Dictionary<ulong, Node> _nodes = [];
    private readonly Stack<ulong> _freed = new();
    private ulong _next = 100;
    private ulong _generation = 1;

    /// <summary>Makes an empty file system.</summary>
    public MemFs()
    {
        var root = new Node { Parent = RootObject };
        root.Attr = Fresh(RootObject, Directory | 0x1ED, default);
        root.Attr.Links = 2;
        _nodes.Add(RootObject, root);
    }

    /// <inheritdoc/>
    public ulong RootObject => 34;

    /// <summary>A new object takes the number freed last, with a new generation.</summary>
    public bool ReuseNumbers { get; set; }

    /// <summary>What <see cref="KeepCache"/> says.</summary>
    public bool KeepsCache { get; set; } = true;

    /// <summary>Called at the start of each write: a test may block or throw here.</summary>
    public Action? OnWrite { get; set; }

    /// <summary>Called at the start of each read: a test may block or throw here.</summary>
    public Action? OnRead { get; set; }

    /// <summary>How often SyncFs and Fsync were called.</summary>
    public long Syncs;

    /// <summary>Objects that exist.</summary>
    public int ObjectCount => _nodes.Count;

    /// <inheritdoc/>
    public int GetAttr(ulong obj, out ZnodeAttr attr)
    {
        _tree.EnterRead();
        Node? node = Find(obj);
        attr = node?.Attr ?? default;
        _tree.Exit();
        return node is null ? Errno.ENOENT : 0;
    }

    /// <inheritdoc/>
    public void Forget(ulong obj)
    {
    }

    /// <inheritdoc/>
    public int SetAttr(in Cred cred, ulong obj, SetAttrMask mask, in ZnodeAttr values, out ZnodeAttr attr)
    {
        _tree.EnterWrite();
        try
        {
            attr = default;
            if (Find(obj) is not { } node)
            {
                return Errno.ENOENT;
            }

            if (mask.HasFlag(SetAttrMask.Size))
            {
                if ((node.Attr.Mode & TypeMask) == Directory)
                {
                    return Errno.EISDIR;
                }

                if (values.Size > SizeMax)
                {
                    return Errno.EFBIG;
                }

                Resize(node, values.Size);
                Touch(node, true);
            }

            (long seconds, long nanoseconds) = Kclock.WallTime();
            ref ZnodeAttr a = ref node.Attr;
            a.Mode = mask.HasFlag(SetAttrMask.Mode) ? (a.Mode & TypeMask) | (values.Mode & 0xFFF) : a.Mode;
            a.Uid = mask.HasFlag(SetAttrMask.Uid) ? values.Uid : a.Uid;
            a.Gid = mask.HasFlag(SetAttrMask.Gid) ? values.Gid : a.Gid;
            Kill(node, mask.HasFlag(SetAttrMask.KillSuidgid));
            (a.CtimeSec, a.CtimeNsec) = mask.HasFlag(SetAttrMask.Ctime) ? (values.CtimeSec, values.CtimeNsec) : (seconds, (uint)nanoseconds);
            (a.AtimeSec, a.AtimeNsec) = mask.HasFlag(SetAttrMask.AtimeNow) ? (seconds, (uint)nanoseconds)
                : mask.HasFlag(SetAttrMask.Atime) ? (values.AtimeSec, values.AtimeNsec) : (a.AtimeSec, a.AtimeNsec);
            (a.MtimeSec, a.MtimeNsec) = mask.HasFlag(SetAttrMask.MtimeNow) ? (seconds, (uint)nanoseconds)
                : mask.HasFlag(SetAttrMask.Mtime) ? (values.MtimeSec, values.MtimeNsec) : (a.MtimeSec, a.MtimeNsec);
            attr = a;
            return 0;
        }
        finally
        {
            _tree.Exit();
        }
    }

    /// <inheritdoc/>
    public int Lookup(ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr)
    {
        _tree.EnterRead();
        attr = default;
        int error = FindChild(dir, name, out Node? child);
        if (child is not null)
        {
            attr = child.Attr;
        }

        _tree.Exit();
        return error;
    }

    /// <inheritdoc/>
    public int Create(in Cred cred, ulong dir, ReadOnlySpan<byte> name, uint mode, uint rdev, ReadOnlySpan<byte> target, out ZnodeAttr attr)
    {
        _tree.EnterWrite();
        try
        {
            attr = default;
            int error = FindChild(dir, name, out _);
            if (error != Errno.ENOENT)
            {
                return error == 0 ? Errno.EEXIST : error;
            }

            if (Find(dir) is not { Attr.Links: > 0 } parent)
            {
                return Errno.ENOENT;
            }

            ulong obj = ReuseNumbers && _freed.Count > 0 ? _freed.Pop() : _next++;
            var node = new Node { Parent = dir, Attr = Fresh(obj, mode, cred) };
            node.Attr.Rdev = rdev;
            if ((parent.Attr.Mode & 0x400) != 0)
            {
                node.Attr.Gid = parent.Attr.Gid;
                node.Attr.Mode |= (mode & TypeMask) == Directory ? 0x400u : 0;
            }

            if ((mode & TypeMask) == Directory)
            {
                node.Attr.Links = 2;
                parent.Attr.Links++;
            }

            if ((mode & TypeMask) == Symlink)
            {
                node.Target = target.ToArray();
                node.Attr.Size = (ulong)target.Length;
            }

            _nodes.Add(obj, node);
            parent.AddChild(Text(name), obj);
            Touch(parent, true);
            attr = node.Attr;
            return 0;
        }
        finally
        {
            _tree.Exit();
        }
    }

    /// <inheritdoc/>
    public int CreateTemporary(in Cred cred, ulong dir, uint mode, out ZnodeAttr attr)
    {
        attr = default;
        return Errno.EOPNOTSUPP;
    }

    /// <inheritdoc/>
    public int Unlink(ulong dir, ReadOnlySpan<byte> name) => Remove(dir, name, false);

    /// <inheritdoc/>
    public int Rmdir(ulong dir, ReadOnlySpan<byte> name) => Remove(dir, name, true);

    /// <inheritdoc/>
    public int Rename(in Cred cred, ulong sourceDir, ReadOnlySpan<byte> sourceName, ulong targetDir, ReadOnlySpan<byte> targetName, uint flags)
    {
        _tree.EnterWrite();
        try
        {
            int error = FindChild(sourceDir, sourceName, out Node? moved);
            if (error != 0)
            {
                return error;
            }

            error = FindChild(targetDir, targetName, out Node? old);
            if (error is not (0 or Errno.ENOENT))
            {
                return error;
            }

            Node from = Find(sourceDir)!, to = Find(targetDir)!;
            if (flags == 2)
            {
                return old is null ? Errno.ENOENT : Exchange(from, Text(sourceName), moved!, to, Text(targetName), old);
            }

            if (old is not null)
            {
                error = flags == 1 ? Errno.EEXIST : CheckReplace(moved!, old);
                if (error != 0 || ReferenceEquals(old, moved))
                {
                    return error;
                }

                Drop(to, Text(targetName), old);
            }

            from.RemoveChild(Text(sourceName));
            to.AddChild(Text(targetName), moved!.Attr.Object);
            if ((moved.Attr.Mode & TypeMask) == Directory)
            {
                from.Attr.Links--;
                to.Attr.Links++;
                moved.Parent = targetDir;
            }

            Touch(from, true);
            Touch(to, true);
            Touch(moved, false);
            return 0;
        }
        finally
        {
            _tree.Exit();
        }
    }

    /// <inheritdoc/>
    public int Link(ulong obj, ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr)
    {
        _tree.EnterWrite();
        try
        {
            attr = default;
            int error = FindChild(dir, name, out _);
            if (error != Errno.ENOENT)
            {
                return error == 0 ? Errno.EEXIST : error;
            }

            if (Find(obj) is not { } node || Find(dir) is not { } parent)
            {
                return Errno.ENOENT;
            }

            node.Attr.Links++;
            parent.AddChild(Text(name), obj);
            Touch(parent, true);
            Touch(node, false);
            attr = node.Attr;
            return 0;
        }
        finally
        {
            _tree.Exit();
        }
    }

    /// <inheritdoc/>
    public int ReadLink(ulong obj, Span<byte> target, out int length)
    {
        _tree.EnterRead();
        byte[]? text = Find(obj)?.Target;
        _tree.Exit();
        length = text?.Length ?? 0;
        text?.CopyTo(target);
        return text is null ? Errno.EINVAL : 0;
    }

    /// <inheritdoc/>
    public int Open(ulong obj, bool truncate)
    {
        _tree.EnterWrite();
        Node? node = Find(obj);
        if (node is not null)
        {
            node.Opens++;
            if (truncate)
            {
                Resize(node, 0);
                Touch(node, true);
            }
        }

        _tree.Exit();
        return node is null ? Errno.ENOENT : 0;
    }

    /// <inheritdoc/>
    public int Close(ulong obj)
    {
        _tree.EnterWrite();
        Node? node = Find(obj);
        if (node is not null)
        {
            node.Opens--;
            Reap(node);
        }

        _tree.Exit();
        return node is null ? Errno.ENOENT : 0;
    }

    /// <inheritdoc/>
    public bool KeepCache(ulong obj) => KeepsCache;

    /// <inheritdoc/>
    public int ReadDir(ulong dir, ulong cookie, IDirFiller filler)
    {
        _tree.EnterRead();
        try
        {
            if (Find(dir) is not { } node || (node.Attr.Mode & TypeMask) != Directory)
            {
                return Errno.ENOTDIR;
            }

            Span<byte> name = stackalloc byte[256];
            for (ulong at = cookie; at < (ulong)node.Order.Count + FirstCookie; at++)
            {
                bool taken;
                if (at < FirstCookie)
                {
                    taken = filler.Add(at == 0 ? "."u8 : ".."u8, at == 0 ? dir : node.Parent, 4, at + 1);
                }
                else
                {
                    (string? text, ulong obj) = node.Order[(int)(at - FirstCookie)];
                    taken = text is null
                        || filler.Add(name[..Encoding.Latin1.GetBytes(text, name)], obj, (int)(_nodes[obj].Attr.Mode >> 12), at + 1);
                }

                if (!taken)
                {
                    break;
                }
            }

            return 0;
        }
        finally
        {
            _tree.Exit();
        }
    }

    /// <inheritdoc/>
    public int StatFs(out StatFs stat)
    {
        stat = new StatFs
        {
            BlockSize = 512,
            RecordSize = Chunk,
            Blocks = 1 << 22,
            BlocksFree = 1 << 21,
            BlocksAvailable = 1 << 21,
            Files = 1 << 20,
            FilesFree = 1 << 19,
            NameMax = 255,
        };
        return 0;
    }

    /// <inheritdoc/>
    public int SyncFs()
    {
        Katomic.Increment(ref Syncs);
        return 0;
    }

    /// <summary>Names as text: one char a byte.</summary>
    private static string Text(ReadOnlySpan<byte> name) => Encoding.Latin1.GetString(name);

    private static void Touch(Node node, bool modified)
    {
        (long seconds, long nanoseconds) = Kclock.WallTime();
        (node.Attr.CtimeSec, node.Attr.CtimeNsec) = (seconds, (uint)nanoseconds);
        if (modified)
        {
            (node.Attr.MtimeSec, node.Attr.MtimeNsec) = (seconds, (uint)nanoseconds);
        }
    }

    private static void Kill(Node node, bool kill)
    {
        if (kill && (node.Attr.Mode & TypeMask) == Regular)
        {
            node.Attr.Mode &= ~0x800u;
            node.Attr.Mode &= (node.Attr.Mode & 8) != 0 ? ~0x400u : ~0u;
        }
    }

    private static int CheckReplace(Node moved, Node old)
    {
        bool movedDir = (moved.Attr.Mode & TypeMask) == Directory, oldDir = (old.Attr.Mode & TypeMask) == Directory;
        return movedDir && !oldDir ? Errno.ENOTDIR : !movedDir && oldDir ? Errno.EISDIR : oldDir && old.Children.Count > 0 ? Errno.ENOTEMPTY : 0;
    }

    private static int Exchange(Node from, string fromName, Node a, Node to, string toName, Node b)
    {
        from.RemoveChild(fromName);
        to.RemoveChild(toName);
        from.AddChild(fromName, b.Attr.Object);
        to.AddChild(toName, a.Attr.Object);
        foreach ((Node node, Node oldParent, Node newParent) in new[] { (a, from, to), (b, to, from) })
        {
            if ((node.Attr.Mode & TypeMask) == Directory)
            {
                oldParent.Attr.Links--;
                newParent.Attr.Links++;
                node.Parent = newParent.Attr.Object;
            }

            Touch(node, false);
        }

        Touch(from, true);
        Touch(to, true);
        return 0;
    }

    private ZnodeAttr Fresh(ulong obj, uint mode, in Cred cred)
    {
        (long seconds, long nanoseconds) = Kclock.WallTime();
        return new ZnodeAttr
        {
            Object = obj,
            Generation = _generation++,
            Mode = mode,
            Links = 1,
            Uid = cred.Uid,
            Gid = cred.Gid,
            BlockSize = Chunk,
            AtimeSec = seconds,
            AtimeNsec = (uint)nanoseconds,
            MtimeSec = seconds,
            MtimeNsec = (uint)nanoseconds,
            CtimeSec = seconds,
            CtimeNsec = (uint)nanoseconds,
        };
    }

    private Node? Find(ulong obj) => _nodes.GetValueOrDefault(obj);

    private int FindChild(ulong dir, ReadOnlySpan<byte> name, out Node? child)
    {
        child = null;
        if (Find(dir) is not { } node)
        {
            return Errno.ENOENT;
        }

        if (name.SequenceEqual("."u8))
        {
            child = node;
            return 0;
        }

        if ((node.Attr.Mode & TypeMask) != Directory)
        {
            return Errno.ENOTDIR;
        }

        Span<char> text = stackalloc char[256];
        int length = Encoding.Latin1.GetChars(name, text);
        ulong obj = name.SequenceEqual(".."u8) ? node.Parent : 0;
        if (obj == 0 && !node.Children.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(text[..length], out obj))
        {
            return Errno.ENOENT;
        }

        child = Find(obj);
        return child is null ? Errno.ENOENT : 0;
    }

    private int Remove(ulong dir, ReadOnlySpan<byte> name, bool directory)
    {
        _tree.EnterWrite();
        try
        {
            int error = FindChild(dir, name, out Node? child);
            if (error != 0)
            {
                return error;
            }

            bool isDirectory = (child!.Attr.Mode & TypeMask) == Directory;
            if (isDirectory != directory)
            {
                return directory ? Errno.ENOTDIR : Errno.EISDIR;
            }

            if (directory && child.Children.Count > 0)
            {
                return Errno.ENOTEMPTY;
            }

            Node parent = Find(dir)!;
            Drop(parent, Text(name), child);
            Touch(parent, true);
            return 0;
        }
        finally
        {
            _tree.Exit();
        }
    }

    private void Drop(Node parent, string name, Node child)
    {
        parent.RemoveChild(name);
        Touch(child, false);
        if ((child.Attr.Mode & TypeMask) == Directory)
        {
            parent.Attr.Links--;
            child.Attr.Links = 0;
        }
        else
        {
            child.Attr.Links--;
        }

        Reap(child);
    }

    private void Reap(Node node)
    {
        if (node.Attr.Links == 0 && node.Opens <= 0)
        {
            for (int i = 0; i < node.Chunks.Count; i++)
            {
                FreeChunk(node, i);
            }

            _nodes.Remove(node.Attr.Object);
            _freed.Push(node.Attr.Object);
        }
    }
}
