using System.Text;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.TestKit;

/// <content>Extended attributes, and what an object is made of.</content>
public sealed unsafe partial class MemFs
{
    /// <inheritdoc/>
    public int GetXattr(ulong obj, ReadOnlySpan<byte> name, Span<byte> value, out int length)
    {
        _tree.EnterRead();
        length = 0;
        int error = Errno.ENODATA;
        if (Find(obj) is { Xattrs: { } xattrs } && xattrs.TryGetValue(Text(name), out byte[]? stored))
        {
            length = stored.Length;
            error = value.Length > 0 && value.Length < length ? Errno.ERANGE : 0;
            if (value.Length >= length)
            {
                stored.CopyTo(value);
            }
        }

        _tree.Exit();
        return error;
    }

    /// <inheritdoc/>
    public int SetXattr(in Cred cred, ulong obj, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags)
    {
        _tree.EnterWrite();
        int error = Errno.ENOENT;
        if (Find(obj) is { } node)
        {
            node.Xattrs ??= [];
            bool exists = node.Xattrs.ContainsKey(Text(name));
            error = flags == 1 && exists ? Errno.EEXIST : flags == 2 && !exists ? Errno.ENODATA : 0;
            if (error == 0)
            {
                node.Xattrs[Text(name)] = value.ToArray();
                Touch(node, false);
            }
        }

        _tree.Exit();
        return error;
    }

    /// <inheritdoc/>
    public int ListXattr(ulong obj, Span<byte> list, out int length)
    {
        _tree.EnterRead();
        int at = 0;
        int error = 0;
        foreach (string name in Find(obj)?.Xattrs?.Keys ?? Enumerable.Empty<string>())
        {
            if (list.Length > 0 && at + name.Length + 1 > list.Length)
            {
                error = Errno.ERANGE;
                break;
            }

            if (list.Length > 0)
            {
                Encoding.Latin1.GetBytes(name, list[at..]);
                list[at + name.Length] = 0;
            }

            at += name.Length + 1;
        }

        length = at;
        _tree.Exit();
        return error;
    }

    /// <inheritdoc/>
    public int RemoveXattr(ulong obj, ReadOnlySpan<byte> name)
    {
        _tree.EnterWrite();
        bool removed = Find(obj)?.Xattrs?.Remove(Text(name)) ?? false;
        _tree.Exit();
        return removed ? 0 : Errno.ENODATA;
    }

    private sealed class Node
    {
        internal readonly Krwlock Lock = new("memfs_node");
        internal readonly List<nint> Chunks = [];
        internal readonly Dictionary<string, ulong> Children = new(StringComparer.Ordinal);
        internal readonly List<(string? Name, ulong Object)> Order = [];
        internal ZnodeAttr Attr;
        internal ulong Parent;
        internal int Opens;
        internal byte[]? Target;
        internal Dictionary<string, byte[]>? Xattrs;

        internal void AddChild(string name, ulong obj)
        {
            Children.Add(name, obj);
            Order.Add((name, obj));
        }

        internal void RemoveChild(string name)
        {
            Children.Remove(name);
            int at = Order.FindIndex(e => e.Name == name);
            Order[at] = (null, 0);
            if (Children.Count == 0)
            {
                Order.Clear();
            }
        }
    }
}
