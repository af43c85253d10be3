using System.Globalization;

namespace ZfsLite.Fs;

/// <summary>
/// Checks a file system's own structure: names lead to objects and back, links, sizes of directories, parents, types,
/// extended attributes, the delete queue, space per user and group. Remembers a few numbers for each object.
/// </summary>
internal sealed class ZplCheck
{
    private const ulong TypeMask = 0xf000, TypeDir = 0x4000, TypeLink = 0xa000, TypeFile = 0x8000;

    private readonly CheckContext _ctx;
    private readonly OfflineDataset _ds;
    private readonly Dictionary<ulong, Node> _nodes = [];
    private readonly Dictionary<ulong, DmuOt> _others = [];
    private readonly HashSet<ulong> _acls = [];
    private readonly SortedDictionary<ulong, ulong> _users = [];
    private readonly SortedDictionary<ulong, ulong> _groups = [];
    private OfflineZpl _zpl = null!;

    internal ZplCheck(CheckContext ctx, OfflineDataset ds)
    {
        _ctx = ctx;
        _ds = ds;
    }

    /// <summary>Takes note of an object.</summary>
    internal void AddDnode(OfflineDnode dn)
    {
        if (dn.Phys.BonusType != DmuOt.Znode)
        {
            _others[dn.Object] = dn.Phys.Type;
            return;
        }

        if (dn.Phys.BonusLength < ZnodePhys.SizeOf)
        {
            Error(dn.Object, $"a znode of {dn.Phys.BonusLength} bytes");
            return;
        }

        ZnodePhys zp = dn.BonusAs<ZnodePhys>(DmuOt.Znode);
        _nodes[dn.Object] = new Node
        {
            Mode = (uint)zp.Mode,
            Links = zp.Links,
            Size = zp.Size,
            Parent = zp.Parent,
            Xattr = zp.Xattr,
            Acl = zp.AclExternObject,
            Flags = zp.Flags,
        };
        _ctx.Result.Files++;
        ulong used = (dn.Phys.Flags & DnodePhys.FlagUserUsedAccounted) != 0 ? DnodePhys.SizeOf + dn.Phys.UsedBytes : 0;
        _users[zp.Uid] = _users.GetValueOrDefault(zp.Uid) + used;
        _groups[zp.Gid] = _groups.GetValueOrDefault(zp.Gid) + used;
        bool isDir = (zp.Mode & TypeMask) == TypeDir;
        if ((dn.Phys.Type == DmuOt.DirectoryContents) != isDir || (!isDir && dn.Phys.Type != DmuOt.PlainFileContents))
        {
            Error(dn.Object, $"mode {Octal(zp.Mode)} on an object of type {dn.Phys.Type}");
        }
    }

    /// <summary>Checks everything, once all objects are known.</summary>
    internal void Run()
    {
        try
        {
            _zpl = _ctx.Pool.OpenFileSystem(_ds);
            CheckMasterNode();
            foreach (ulong obj in _nodes.Where(n => (n.Value.Mode & TypeMask) == TypeDir).Select(n => n.Key).Order().ToList())
            {
                CheckDirectory(obj);
            }

            foreach ((ulong obj, Node n) in _nodes)
            {
                CheckXattr(obj, n);
            }

            CheckDeleteQueue();
            foreach ((ulong obj, Node n) in _nodes)
            {
                CheckNode(obj, n);
            }

            CheckAccounts();
        }
        catch (ZfsException e)
        {
            Error(0, e.Message);
        }
    }

    private static string Octal(ulong mode) => Convert.ToString((long)mode, 8);

    private void Error(ulong obj, string message) => _ctx.Error(_ds.Name, obj, message);

    private void CheckMasterNode()
    {
        if (_zpl.MasterNode.TryGetValue("VERSION", out ulong version) && version is < 1 or > 4)
        {
            Error(1, $"file system version {version}, supported are 1 to 4");
        }

        foreach (string name in (string[])["ROOT", "SHARES"])
        {
            if (!_zpl.MasterNode.TryGetValue(name, out ulong obj))
            {
                continue;
            }

            if (!_nodes.TryGetValue(obj, out Node? n) || (n.Mode & TypeMask) != TypeDir)
            {
                Error(1, $"{name} is object {obj}, which is no directory");
                continue;
            }

            n.IsRoot = true;
            if (n.Parent != obj && name == "ROOT")
            {
                Error(obj, $"the root's parent is {n.Parent}, not itself");
            }
        }
    }

    private void CheckDirectory(ulong obj)
    {
        Node dir = _nodes[obj];
        try
        {
            foreach ((byte[] raw, ulong target, int type) in _zpl.ReadDir(obj))
            {
                dir.Entries++;
                string name = System.Text.Encoding.UTF8.GetString(raw);
                if (raw.Length > 255 || raw.AsSpan().IndexOfAny((byte)'/', (byte)0) >= 0 || name is "." or "..")
                {
                    Error(obj, $"impossible name '{name}'");
                }

                if (!_nodes.TryGetValue(target, out Node? n))
                {
                    Error(obj, $"'{name}' leads to object {target}, which is no file");
                    continue;
                }

                n.Names++;
                n.FoundInParent |= n.Parent == obj;
                if ((uint)type != (n.Mode & TypeMask) >> 12)
                {
                    Error(obj, $"'{name}' says type {type}, object {target} has mode {Octal(n.Mode)}");
                }

                dir.Subdirectories += (n.Mode & TypeMask) == TypeDir ? 1UL : 0;
            }
        }
        catch (ZfsException e)
        {
            dir.Unreadable = true;
            Error(obj, e.Message);
        }
    }

    private void CheckXattr(ulong obj, Node n)
    {
        if (n.Xattr == 0)
        {
            return;
        }

        if (!_nodes.TryGetValue(n.Xattr, out Node? x) || (x.Mode & TypeMask) != TypeDir || (x.Flags & ZnodePhys.FlagXattr) == 0)
        {
            Error(obj, $"extended attributes are in object {n.Xattr}, which is no directory of such");
            return;
        }

        if (x.IsXattrDir)
        {
            Error(obj, $"shares its directory of extended attributes, object {n.Xattr}, with another file");
        }

        x.IsXattrDir = true;
        if (x.Parent != obj)
        {
            Error(n.Xattr, $"directory of extended attributes of {obj} has the parent {x.Parent}");
        }
    }

    private void CheckDeleteQueue()
    {
        if (!_zpl.MasterNode.TryGetValue("DELETE_QUEUE", out ulong queue))
        {
            return;
        }

        foreach (OfflineZapEntry e in _ctx.Pool.ReadZap(_zpl.Objset, queue))
        {
            if (!_nodes.TryGetValue(e.First, out Node? n) || e.NameText != e.First.ToString("x", CultureInfo.InvariantCulture))
            {
                Error(queue, $"delete queue has '{e.NameText}' = {e.First}, which is no file");
                continue;
            }

            n.IsQueued = true;
            if (n.Names != 0)
            {
                Error(e.First, "is in the delete queue and has a name");
            }
        }
    }

    private void CheckNode(ulong obj, Node n)
    {
        bool isDir = (n.Mode & TypeMask) == TypeDir;
        if ((n.Mode & TypeMask) is not (TypeDir or TypeFile or TypeLink or 0x1000 or 0x2000 or 0x6000 or 0xc000))
        {
            Error(obj, $"impossible mode {Octal(n.Mode)}");
        }

        if (n.Names == 0 && !n.IsRoot && !n.IsXattrDir && !n.IsQueued)
        {
            Error(obj, $"has no name and is not in the delete queue (mode {Octal(n.Mode)}, {n.Links} links)");
            return;
        }

        if (isDir && !n.Unreadable)
        {
            if (n.Names > 1 || (n.Names > 0 && (n.IsRoot || n.IsXattrDir)))
            {
                Error(obj, $"a directory with {n.Names} names");
            }

            if (!n.IsQueued)
            {
                _ctx.Compare(_ds.Name, obj, "links of the directory", n.Links, 2 + n.Subdirectories);
            }

            _ctx.Compare(_ds.Name, obj, "size of the directory", n.Size, n.Entries + 2);
        }
        else if (!isDir)
        {
            _ctx.Compare(_ds.Name, obj, "links", n.Links, n.Names);
        }

        if (n.Names > 0 && !n.FoundInParent)
        {
            // A file that lost one of its names may name a directory that it is no longer in.
            Action<string, ulong, string> tell = isDir ? _ctx.Error : _ctx.Warn;
            tell(_ds.Name, obj, $"parent {n.Parent} does not hold it");
        }

        if (n.Acl != 0 && (_others.GetValueOrDefault(n.Acl) is not (DmuOt.Acl or DmuOt.OldAcl) || !_acls.Add(n.Acl)))
        {
            Error(obj, $"ACL is in object {n.Acl}, which is none, or another file's");
        }
    }

    private void CheckAccounts()
    {
        if ((_zpl.Objset.Phys.Flags & ObjsetPhys.FlagUserAccountingComplete) == 0)
        {
            return;
        }

        CompareAccounts("user", _zpl.Objset.UserUsed, _users);
        CompareAccounts("group", _zpl.Objset.GroupUsed, _groups);
    }

    private void CompareAccounts(string who, OfflineDnode dn, SortedDictionary<ulong, ulong> expected)
    {
        var stored = new SortedDictionary<ulong, ulong>();
        if (!dn.IsFree)
        {
            foreach (OfflineZapEntry e in _ctx.Pool.ReadZap(_zpl.Objset, dn))
            {
                if (!ulong.TryParse(e.NameText, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong id))
                {
                    Error(0, $"space of {who} '{e.NameText}', which is no number");
                    continue;
                }

                stored[id] = e.First;
            }
        }

        foreach (ulong id in expected.Keys.Union(stored.Keys))
        {
            _ctx.Compare(_ds.Name, 0, $"space of {who} {id}", stored.GetValueOrDefault(id), expected.GetValueOrDefault(id));
        }
    }

    private sealed class Node
    {
        internal uint Mode;
        internal ulong Links, Size, Parent, Xattr, Acl, Flags;
        internal ulong Names, Entries, Subdirectories;
        internal bool FoundInParent, IsRoot, IsXattrDir, IsQueued, Unreadable;
    }
}
