using System.Text;
using Xunit;
using Xunit.Abstractions;

namespace ZfsLite.Fs.Tests;

/// <summary>Random operations against a model of a POSIX tree, with remounts; at the end zdb and the offline reader look too.</summary>
[Trait("Backend", "os")]
public sealed class ZplModelTests(ITestOutputHelper output)
{
    private readonly List<ZplModelNode> _dirs = [];
    private readonly List<ZplModelNode> _others = [];
    private readonly List<ZplModelNode> _held = [];
    private ZplPool _p = null!;
    private Random _random = null!;
    private int _step;

    [Theory]
    [InlineData(1, 131072)]
    [InlineData(2, 4096)]
    [InlineData(3, 131072)]
    public void Random_operations_agree_with_the_model(int seed, int recordSize)
    {
        output.WriteLine($"seed {seed}");
        _random = new Random(seed);
        using var p = new ZplPool(seed == 3 ? AtimeMode.On : AtimeMode.Off, recordSize);
        _p = p;
        _dirs.Add(new ZplModelNode { Object = p.RootDir, Mode = 0x41ED, Links = 2, Entries = new(StringComparer.Ordinal) });
        for (_step = 0; _step < 2500; _step++)
        {
            try
            {
                Step();
            }
            catch (Exception e) when (e is not Xunit.Sdk.XunitException)
            {
                throw new InvalidOperationException($"seed {seed}, step {_step}", e);
            }

            if (_step % 500 == 499)
            {
                CloseAll();
                p.Remount(seed == 3 ? AtimeMode.On : AtimeMode.Off);
                Compare(_dirs[0]);
            }
        }

        CloseAll();
        p.Judge();
        Compare(_dirs[0]);
    }

    private void Step()
    {
        ZplModelNode dir = Pick(_dirs);
        string name = RandomName();
        switch (_random.Next(18))
        {
            case 0 or 1 or 2:
                Create(dir, name, 0x81A4, "");
                break;
            case 3:
                Create(dir, name, 0x41ED, "");
                break;
            case 4:
                Create(dir, name, 0xA1FF, new string('t', 1 + _random.Next(120)));
                break;
            case 5 or 6:
                Unlink(dir, name);
                break;
            case 7:
                Rmdir(dir, name);
                break;
            case 8 or 9 or 10:
                Rename(dir, name, Pick(_dirs), RandomName(), (uint)_random.Next(3));
                break;
            case 11:
                Link(dir, name);
                break;
            case 12 or 13:
                WriteFile();
                break;
            case 14:
                Truncate();
                break;
            case 15:
                Xattr();
                break;
            case 16:
                OpenOrClose();
                break;
            default:
                LookAt(dir, name);
                break;
        }
    }

    private ZplModelNode Pick(List<ZplModelNode> from) => from[_random.Next(from.Count)];

    private string RandomName()
    {
        int n = _random.Next(40);
        return n < 35 ? $"n{n}" : new string((char)('a' + n - 35), 40 + (n * 5));
    }

    private void Create(ZplModelNode dir, string name, uint mode, string target)
    {
        int error = _p.Fs.Create(ZplPool.Root, dir.Object, Encoding.UTF8.GetBytes(name), mode, 0, Encoding.UTF8.GetBytes(target), out ZnodeAttr attr);
        Check(dir.Entries!.ContainsKey(name) ? Errno.EEXIST : 0, error, $"create {name}");
        if (error != 0)
        {
            return;
        }

        bool isDir = (mode & 0xF000) == 0x4000;
        var node = new ZplModelNode
        {
            Object = attr.Object,
            Mode = mode,
            Target = target,
            Links = isDir ? 2 : 1,
            Parent = dir,
            Entries = isDir ? new(StringComparer.Ordinal) : null,
        };
        dir.Entries.Add(name, node);
        (isDir ? _dirs : _others).Add(node);
    }

    private void Unlink(ZplModelNode dir, string name)
    {
        ZplModelNode? node = dir.Entries!.GetValueOrDefault(name);
        Check(node is null ? Errno.ENOENT : node.IsDirectory ? Errno.EISDIR : 0, _p.Unlink(dir.Object, name), $"unlink {name}");
        if (node is { IsDirectory: false })
        {
            dir.Entries!.Remove(name);
            Drop(node);
        }
    }

    private void Rmdir(ZplModelNode dir, string name)
    {
        ZplModelNode? node = dir.Entries!.GetValueOrDefault(name);
        int expected = node is null ? Errno.ENOENT : !node.IsDirectory ? Errno.ENOTDIR : node.Entries!.Count > 0 ? Errno.ENOTEMPTY : 0;
        Check(expected, _p.Rmdir(dir.Object, name), $"rmdir {name}");
        if (expected == 0)
        {
            dir.Entries!.Remove(name);
            _dirs.Remove(node!);
            Assert.Equal(Errno.ESTALE, _p.Fs.GetAttr(node!.Object, out _));
        }
    }

    private void Rename(ZplModelNode from, string name, ZplModelNode to, string newName, uint flags)
    {
        ZplModelNode? s = from.Entries!.GetValueOrDefault(name);
        ZplModelNode? t = to.Entries!.GetValueOrDefault(newName);
        int expected = ExpectedRename(from, s, to, t, flags);
        Check(expected, _p.Rename(from.Object, name, to.Object, newName, flags), $"rename {name} {newName} {flags}");
        if (expected != 0 || ReferenceEquals(s, t))
        {
            return;
        }

        from.Entries!.Remove(name);
        to.Entries![newName] = s!;
        s!.Parent = to;
        if (flags == 2)
        {
            from.Entries[name] = t!;
            t!.Parent = from;
        }
        else if (t is not null)
        {
            if (t.IsDirectory)
            {
                _dirs.Remove(t);
            }
            else
            {
                Drop(t);
            }
        }
    }

    private static int ExpectedRename(ZplModelNode from, ZplModelNode? s, ZplModelNode to, ZplModelNode? t, uint flags)
    {
        if (s is null || (t is null && flags == 2))
        {
            return Errno.ENOENT;
        }

        if (flags == 1 && t is not null)
        {
            return Errno.EEXIST;
        }

        if (ReferenceEquals(s, t))
        {
            return 0;
        }

        if (s.IsDirectory && s.Contains(to))
        {
            return Errno.EINVAL;
        }

        if (t is not null && t.IsDirectory && t.Contains(from))
        {
            return flags == 2 ? Errno.EINVAL : Errno.ENOTEMPTY;
        }

        if (flags == 2 || t is null)
        {
            return 0;
        }

        if (s.IsDirectory != t.IsDirectory)
        {
            return s.IsDirectory ? Errno.ENOTDIR : Errno.EISDIR;
        }

        return t.IsDirectory && t.Entries!.Count > 0 ? Errno.ENOTEMPTY : 0;
    }

    private void Link(ZplModelNode dir, string name)
    {
        if (_others.Count == 0)
        {
            return;
        }

        ZplModelNode node = Pick(_others);
        int expected = dir.Entries!.ContainsKey(name) ? Errno.EEXIST : node.Links == 0 ? Errno.ENOENT : 0;
        Check(expected, _p.Link(node.Object, dir.Object, name), $"link {name}");
        if (expected == 0)
        {
            dir.Entries.Add(name, node);
            node.Links++;
        }
    }

    private void WriteFile()
    {
        if (_others.Count == 0 || Pick(_others) is not { IsFile: true } node)
        {
            return;
        }

        int at = _random.Next(node.Data.Length + 3000);
        byte[] data = ZplBasicTests.RandomBytes(_step, 1 + _random.Next(_random.Next(6) == 0 ? 300_000 : 3000));
        Assert.Equal(0, _p.Write(node.Object, (ulong)at, data));
        byte[] all = node.Data.Length >= at + data.Length ? node.Data : [.. node.Data, .. new byte[at + data.Length - node.Data.Length]];
        data.CopyTo(all, at);
        node.Data = all;
    }

    private void Truncate()
    {
        if (_others.Count == 0 || Pick(_others) is not { IsFile: true } node)
        {
            return;
        }

        int size = _random.Next(node.Data.Length + 1000);
        Assert.Equal(0, _p.Truncate(node.Object, (ulong)size));
        byte[] data = new byte[size];
        node.Data.AsSpan(0, Math.Min(size, node.Data.Length)).CopyTo(data);
        node.Data = data;
    }

    private void Xattr()
    {
        ZplModelNode node = _others.Count > 0 && _random.Next(2) == 0 ? Pick(_others) : Pick(_dirs);
        string name = "user.x" + _random.Next(4);
        if (_random.Next(3) == 0)
        {
            Check(node.Xattrs.Remove(name) ? 0 : Errno.ENODATA, _p.RemoveXattr(node.Object, name), "removexattr");
            return;
        }

        byte[] value = ZplBasicTests.RandomBytes(_step, _random.Next(2000));
        Assert.Equal(0, _p.SetXattr(node.Object, name, value));
        node.Xattrs[name] = value;
    }

    private void OpenOrClose()
    {
        if (_held.Count > 5)
        {
            CloseOne(_held[0]);
        }
        else if (_others.Count > 0)
        {
            ZplModelNode node = Pick(_others);
            Assert.Equal(0, _p.Fs.Open(node.Object, false));
            node.Opens++;
            _held.Add(node);
        }
    }

    private void CloseOne(ZplModelNode node)
    {
        _held.Remove(node);
        node.Opens--;
        CompareOne(node);
        Assert.Equal(0, _p.Fs.Close(node.Object));
        if (node.Links == 0 && node.Opens == 0)
        {
            _others.Remove(node);
            Assert.Equal(Errno.ESTALE, _p.Fs.GetAttr(node.Object, out _));
        }
    }

    private void CloseAll()
    {
        while (_held.Count > 0)
        {
            CloseOne(_held[0]);
        }
    }

    private void Drop(ZplModelNode node)
    {
        node.Links--;
        if (node.Links == 0 && node.Opens == 0)
        {
            _others.Remove(node);
            Assert.Equal(Errno.ESTALE, _p.Fs.GetAttr(node.Object, out _));
        }
    }

    private void LookAt(ZplModelNode dir, string name)
    {
        ZplModelNode? node = dir.Entries!.GetValueOrDefault(name);
        int error = _p.Fs.Lookup(dir.Object, Encoding.UTF8.GetBytes(name), out ZnodeAttr attr);
        Check(node is null ? Errno.ENOENT : 0, error, $"lookup {name}");
        if (node is not null)
        {
            Assert.Equal(node.Object, attr.Object);
            CompareOne(node);
        }
    }

    private void Compare(ZplModelNode dir)
    {
        Assert.Equal(dir.Entries!.Keys, _p.List(dir.Object, 1 + _random.Next(50)));
        CompareOne(dir);
        foreach ((string name, ZplModelNode node) in dir.Entries)
        {
            Assert.Equal(node.Object, _p.Find(dir.Object, name));
            if (node.IsDirectory)
            {
                Assert.Equal(dir.Object, _p.Find(node.Object, ".."));
                Compare(node);
            }
            else
            {
                CompareOne(node);
            }
        }
    }

    private void CompareOne(ZplModelNode node)
    {
        ZnodeAttr attr = _p.Stat(node.Object);
        Assert.Equal(node.Mode, attr.Mode);
        if (node.IsDirectory)
        {
            int subdirectories = node.Entries!.Values.Count(n => n.IsDirectory);
            Assert.Equal((2U + (uint)subdirectories, 2UL + (ulong)node.Entries.Count), (attr.Links, attr.Size));
        }
        else
        {
            Assert.Equal((uint)node.Links, attr.Links);
        }

        if (node.IsFile)
        {
            Assert.True(node.Data.AsSpan().SequenceEqual(_p.Read(node.Object, 0, node.Data.Length + 10)), $"contents differ, step {_step}");
        }
        else if (!node.IsDirectory)
        {
            Assert.Equal(node.Target, _p.ReadLink(node.Object));
        }

        Assert.Equal(node.Xattrs.Keys, _p.ListXattr(node.Object));
        foreach ((string name, byte[] value) in node.Xattrs)
        {
            Assert.Equal(value, _p.GetXattr(node.Object, name));
        }
    }

    private void Check(int expected, int actual, string what) =>
        Assert.True(expected == actual, $"step {_step}: {what}: {actual}, not {expected}");
}
