using System.Text;

namespace ZfsLite.Fs;

/// <summary>A file system read offline: directories, files, symlinks, extended attributes, by object number or by path.</summary>
public sealed class OfflineZpl
{
    private const ulong ObjectMask = (1UL << 48) - 1;
    private const int MaxPathDepth = 4096;

    private readonly PoolReader _pool;

    internal OfflineZpl(PoolReader pool, OfflineObjset os)
    {
        _pool = pool;
        Objset = os;
        if (os.Phys.Type != ObjsetPhys.TypeZfs)
        {
            throw new ZfsException(Errno.EIO, $"{os.Name} is an object set of type {os.Phys.Type}, not a file system");
        }

        foreach (OfflineZapEntry e in pool.ReadZap(os, 1))
        {
            MasterNode[e.NameText] = e.First;
        }

        if (!MasterNode.TryGetValue("ROOT", out ulong root))
        {
            throw new ZfsException(Errno.EIO, $"{os.Name}: the master node names no root");
        }

        Root = root;
    }

    /// <summary>Its object set.</summary>
    public OfflineObjset Objset { get; }

    /// <summary>What the master node says.</summary>
    public Dictionary<string, ulong> MasterNode { get; } = new(StringComparer.Ordinal);

    /// <summary>Object of the root directory.</summary>
    public ulong Root { get; }

    /// <summary>Attributes of an object. Throws ZfsException (EIO) if it is no file.</summary>
    public ZnodePhys ReadZnode(ulong obj) => Objset.ReadDnode(obj).BonusAs<ZnodePhys>(DmuOt.Znode);

    /// <summary>Entries of a directory: name, object, and the type in the entry (mode >> 12).</summary>
    public IEnumerable<(byte[] Name, ulong Object, int Type)> ReadDir(ulong obj)
    {
        foreach (OfflineZapEntry e in _pool.ReadZap(Objset, obj))
        {
            if (e.Width != 8 || e.Values.Length != 1)
            {
                throw new ZfsException(Errno.EIO, $"{Objset.Name}: directory {obj} has a malformed entry '{e.NameText}'");
            }

            yield return (e.Name, e.First & ObjectMask, (int)(e.First >> 60));
        }
    }

    /// <summary>Reads part of a file; shorter at its end.</summary>
    public int ReadFile(ulong obj, ulong offset, Span<byte> dst)
    {
        OfflineDnode dn = Objset.ReadDnode(obj);
        ulong size = dn.BonusAs<ZnodePhys>(DmuOt.Znode).Size;
        if (offset >= size)
        {
            return 0;
        }

        int n = (int)Math.Min((ulong)dst.Length, size - offset);
        Objset.Read(dn, offset, dst[..n]);
        return n;
    }

    /// <summary>Target of a symlink, from its bonus or its data.</summary>
    public string ReadLink(ulong obj)
    {
        OfflineDnode dn = Objset.ReadDnode(obj);
        ZnodePhys zp = dn.BonusAs<ZnodePhys>(DmuOt.Znode);
        if (zp.Size > 4096)
        {
            throw new ZfsException(Errno.EIO, $"{Objset.Name}: symlink {obj} of {zp.Size} bytes");
        }

        int size = (int)zp.Size;
        if (dn.Bonus.Length >= ZnodePhys.SizeOf + size && size <= ZnodePhys.MaxInlineSymlink)
        {
            return Encoding.UTF8.GetString(dn.Bonus.Slice(ZnodePhys.SizeOf, size));
        }

        var target = new byte[size];
        Objset.Read(dn, 0, target);
        return Encoding.UTF8.GetString(target);
    }

    /// <summary>Extended attributes of an object, in the order of their names.</summary>
    public SortedDictionary<string, byte[]> ReadXattrs(ulong obj)
    {
        var result = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        ulong dir = ReadZnode(obj).Xattr;
        if (dir == 0)
        {
            return result;
        }

        foreach ((byte[] name, ulong file, _) in ReadDir(dir))
        {
            ulong size = ReadZnode(file).Size;
            if (size > 1 << 20)
            {
                throw new ZfsException(Errno.EIO, $"{Objset.Name}: attribute in object {file} of {size} bytes");
            }

            var value = new byte[size];
            _ = ReadFile(file, 0, value);
            result[Encoding.UTF8.GetString(name)] = value;
        }

        return result;
    }

    /// <summary>Object of a path below the root; null if there is none.</summary>
    public ulong? Resolve(string path)
    {
        ulong at = Root;
        foreach (string part in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            ulong? next = null;
            foreach ((byte[] name, ulong obj, _) in ReadDir(at))
            {
                if (Encoding.UTF8.GetString(name) == part)
                {
                    next = obj;
                    break;
                }
            }

            if (next is null)
            {
                return null;
            }

            at = next.Value;
        }

        return at;
    }

    /// <summary>
    /// All paths with their objects, parents before children, directories not entered twice. Throws ZfsException (EIO) on a
    /// path deeper than any real one.
    /// </summary>
    public IEnumerable<(string Path, ulong Object)> Tree()
    {
        var entered = new HashSet<ulong> { Root };
        var queue = new Queue<(string Path, ulong Object, int Depth)>();
        queue.Enqueue(("/", Root, 0));
        yield return ("/", Root);
        while (queue.TryDequeue(out (string Path, ulong Object, int Depth) dir))
        {
            if (dir.Depth > MaxPathDepth)
            {
                throw new ZfsException(Errno.EIO, $"{Objset.Name}: directories nested more than {MaxPathDepth} deep");
            }

            foreach ((byte[] name, ulong obj, int type) in ReadDir(dir.Object))
            {
                string path = (dir.Path == "/" ? "/" : dir.Path + "/") + Encoding.UTF8.GetString(name);
                yield return (path, obj);
                if (type == 4 && entered.Add(obj))
                {
                    queue.Enqueue((path, obj, dir.Depth + 1));
                }
            }
        }
    }

    /// <summary>
    /// Device number as major and minor: the form of zfs-fuse (major in bits 8 to 19, minor in 0 to 7 and 20 to 31), or, if
    /// the upper half is not zero, that of Solaris.
    /// </summary>
    public static (uint Major, uint Minor) DecodeRdev(ulong rdev) => rdev >> 32 != 0
        ? ((uint)(rdev >> 32), (uint)rdev)
        : ((uint)(rdev >> 8) & 0xfff, (uint)((rdev & 0xff) | ((rdev >> 12) & 0xfff00)));
}
