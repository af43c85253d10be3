using System.Text;
using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs.Tests;

/// <summary>The calls of the ZPL one by one, on a pool in memory.</summary>
[Trait("Backend", "os")]
public sealed class ZplBasicTests
{
    private const uint DirMode = 0x41ED;

    [Fact]
    public void What_is_written_is_there_after_a_remount()
    {
        using var p = new ZplPool();
        ulong dir = p.MakeDir(p.RootDir, "dir");
        ulong file = p.Make(dir, "file");
        byte[] data = RandomBytes(1, 300_000);
        Assert.Equal(0, p.Write(file, 0, data));
        Assert.Equal(data, p.Read(file));
        ulong link = p.Make(dir, "sym", 0xA1FF, "file");
        ulong longLink = p.Make(dir, "long", 0xA1FF, new string('t', 57));
        p.Judge();
        Assert.Equal(["dir"], p.List(p.RootDir));
        Assert.Equal(["file", "long", "sym"], p.List(dir));
        Assert.Equal(file, p.Find(p.Find(p.RootDir, "dir"), "file"));
        Assert.Equal(data, p.Read(file));
        Assert.Equal("file", p.ReadLink(link));
        Assert.Equal(new string('t', 57), p.ReadLink(longLink));
        ZnodeAttr root = p.Stat(p.RootDir);
        Assert.Equal((3UL, 3U), (root.Size, root.Links));
    }

    [Fact]
    public void Names_are_checked_and_counted()
    {
        using var p = new ZplPool();
        Assert.Equal(Errno.ENAMETOOLONG, p.TryMake(p.RootDir, new string('n', 256)));
        Assert.Equal(Errno.EINVAL, p.TryMake(p.RootDir, ""));
        Assert.Equal(Errno.EINVAL, p.TryMake(p.RootDir, "a/b"));
        Assert.Equal(Errno.EEXIST, p.TryMake(p.RootDir, "."));
        Assert.Equal(Errno.EEXIST, p.TryMake(p.RootDir, ".."));
        Assert.Equal(0, p.TryMake(p.RootDir, new string('n', 255)));
        Assert.Equal(Errno.EEXIST, p.TryMake(p.RootDir, new string('n', 255)));
        Assert.Equal(Errno.ENOENT, p.Lookup(p.RootDir, "absent"));
        Assert.Equal(p.RootDir, p.Find(p.RootDir, ".."));
        ulong file = p.Find(p.RootDir, new string('n', 255));
        Assert.Equal(Errno.ENOTDIR, p.TryMake(file, "x"));
        Assert.Equal(Errno.ENOTDIR, p.Lookup(file, "x"));
        ulong dir = p.MakeDir(p.RootDir, "d");
        Assert.Equal((2UL, 2U), (p.Stat(dir).Size, p.Stat(dir).Links));
        Assert.Equal(p.RootDir, p.Find(dir, ".."));
        ulong sub = p.MakeDir(dir, "sub");
        Assert.Equal((3UL, 3U), (p.Stat(dir).Size, p.Stat(dir).Links));
        Assert.Equal(Errno.ENOTEMPTY, p.Rmdir(p.RootDir, "d"));
        Assert.Equal(Errno.EISDIR, p.Unlink(dir, "sub"));
        Assert.Equal(Errno.ENOTDIR, p.Rmdir(p.RootDir, new string('n', 255)));
        Assert.Equal(0, p.Rmdir(dir, "sub"));
        Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(sub, out _));
        Assert.Equal((2UL, 2U), (p.Stat(dir).Size, p.Stat(dir).Links));
        Assert.Equal(Errno.ENOENT, p.Rmdir(dir, "sub"));
    }

    [Fact]
    public void Objects_that_are_no_files_are_stale()
    {
        using var p = new ZplPool();
        foreach (ulong obj in (ulong[])[0, 1, 2, 999, 1UL << 40, ulong.MaxValue])
        {
            Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(obj, out _));
            Assert.Equal(Errno.ESTALE, p.Fs.Open(obj, false));
            Assert.Equal(Errno.ESTALE, p.Lookup(obj, "x"));
        }
    }

    [Theory]
    [InlineData(0x81A4u, 0x40800000004UL)]
    [InlineData(0x81EDu, 0x40800000104UL)]
    [InlineData(0x89E9u, 0x40800000104UL)]
    public void Flags_and_acl_follow_the_mode(uint mode, ulong flags)
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f", mode);
        p.ReadOffline(zpl =>
        {
            ZnodePhys zp = zpl.ReadZnode(file);
            Assert.Equal((flags, (ulong)mode), (zp.Flags, zp.Mode));
            Assert.Equal(ExpectedAcl(mode), AclBytes(zp));
        });
    }

    [Fact]
    public void Chmod_rewrites_acl_and_flags()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f");
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, file, SetAttrMask.Mode, new ZnodeAttr { Mode = 0x1ED }, out ZnodeAttr attr));
        Assert.Equal(0x81EDu, attr.Mode);
        p.ReadOffline(zpl =>
        {
            ZnodePhys zp = zpl.ReadZnode(file);
            Assert.Equal(0x40800000104UL, zp.Flags);
            Assert.Equal(ExpectedAcl(0x81ED), AclBytes(zp));
        });
    }

    [Fact]
    public void Times_have_nanoseconds_and_survive()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f");
        var want = new ZnodeAttr { AtimeSec = -5, AtimeNsec = 999_999_999, MtimeSec = 1_600_000_000, MtimeNsec = 123_456_789 };
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, file, SetAttrMask.Atime | SetAttrMask.Mtime, want, out _));
        p.Remount();
        ZnodeAttr got = p.Stat(file);
        Assert.Equal((-5L, 999_999_999U, 1_600_000_000L, 123_456_789U), (got.AtimeSec, got.AtimeNsec, got.MtimeSec, got.MtimeNsec));
        Assert.True(got.CtimeSec > 1_700_000_000 && got.CrtimeSec > 1_700_000_000);
        ulong generation = got.Generation;
        Assert.True(generation >= 4);
    }

    [Fact]
    public void Directories_with_setgid_hand_it_down()
    {
        using var p = new ZplPool();
        var user = new Cred(1000, 1001);
        ulong dir = p.Make(p.RootDir, "d", DirMode, cred: new Cred(5, 77));
        Assert.Equal((5U, 77U), (p.Stat(dir).Uid, p.Stat(dir).Gid));
        Assert.Equal(1001U, p.Stat(p.Make(dir, "plain", cred: user)).Gid);
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, dir, SetAttrMask.Mode, new ZnodeAttr { Mode = 0x5ED }, out _));
        Assert.Equal((1000U, 77U), (p.Stat(p.Make(dir, "f", cred: user)).Uid, p.Stat(p.Find(dir, "f")).Gid));
        ZnodeAttr sub = p.Stat(p.Make(dir, "s", DirMode, cred: user));
        Assert.Equal((77U, 0x45EDU), (sub.Gid, sub.Mode));
    }

    [Fact]
    public void A_cached_write_leaves_a_fresh_mtime_to_the_kernel_and_moves_an_old_one()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f", 0x81A4);
        long now = Kclock.WallTime().Seconds;
        foreach ((long mtime, ZplWriteFlags flags, bool stays) in new[]
        {
            (now - 1, ZplWriteFlags.Cached, true), (now - 60, ZplWriteFlags.Cached, false),
            (now + 600, ZplWriteFlags.Cached, false), (now - 1, ZplWriteFlags.None, false),
        })
        {
            var set = new ZnodeAttr { MtimeSec = mtime, MtimeNsec = 77 };
            Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, file, SetAttrMask.Mtime, set, out _));
            unsafe
            {
                byte b = 1;
                Assert.Equal(0, p.Fs.Write(file, 0, 1, &b, flags, out _));
            }

            ZnodeAttr attr = p.Stat(file);
            Assert.Equal(stays, (attr.MtimeSec, attr.MtimeNsec) == (mtime, 77U));
            Assert.InRange(attr.MtimeSec, now - 1, now + 60);
        }
    }

    [Fact]
    public void Setid_bits_go_with_foreign_writes_and_new_owners()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f", 0x8DED);
        Assert.Equal(0, p.Write(file, 0, "x"u8));
        Assert.Equal(0x8DEDU, p.Stat(file).Mode);
        unsafe
        {
            byte b = 1;
            Assert.Equal(0, p.Fs.Write(file, 0, 1, &b, ZplWriteFlags.KillSuidgid, out _));
        }

        Assert.Equal(0x81EDU, p.Stat(file).Mode);
        ulong other = p.Make(p.RootDir, "g", 0x8DED);
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, other, SetAttrMask.Uid, new ZnodeAttr { Uid = 9 }, out ZnodeAttr attr));
        Assert.Equal((0x81EDU, 9U), (attr.Mode, attr.Uid));

        // sgid without group execute is mandatory locking's, and stays; a directory keeps its bits.
        ulong locking = p.Make(p.RootDir, "l", 0x85A4);
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, locking, SetAttrMask.Gid, new ZnodeAttr { Gid = 9 }, out attr));
        Assert.Equal(0x85A4U, attr.Mode);
        ulong dir = p.Make(p.RootDir, "d", 0x45ED);
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, dir, SetAttrMask.Gid, new ZnodeAttr { Gid = 9 }, out attr));
        Assert.Equal(0x45EDU, attr.Mode);
    }

    [Theory]
    [InlineData(0x21B0u, 0x811u)]
    [InlineData(0x61B0u, 0x493103e0u)]
    [InlineData(0x11B0u, 0u)]
    [InlineData(0xC1EDu, 0u)]
    public void Special_files_keep_type_and_device(uint mode, uint rdev)
    {
        using var p = new ZplPool();
        ulong obj = p.Make(p.RootDir, "s", mode, rdev: rdev);
        p.Remount();
        ZnodeAttr attr = p.Stat(obj);
        Assert.Equal((mode, rdev), (attr.Mode, attr.Rdev));
        Assert.Equal(0, p.Unlink(p.RootDir, "s"));
        Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(obj, out _));
    }

    [Fact]
    public void Hard_links_share_the_file()
    {
        using var p = new ZplPool();
        ulong dir = p.MakeDir(p.RootDir, "d");
        ulong file = p.Make(p.RootDir, "a");
        Assert.Equal(0, p.Link(file, dir, "b"));
        Assert.Equal(Errno.EEXIST, p.Link(file, dir, "b"));
        Assert.Equal(Errno.EPERM, p.Link(dir, dir, "loop"));
        Assert.Equal((file, 2U), (p.Find(dir, "b"), p.Stat(file).Links));
        Assert.Equal(0, p.Unlink(p.RootDir, "a"));
        Assert.Equal(1U, p.Stat(file).Links);
        p.Remount();
        Assert.Equal(0, p.Write(p.Find(dir, "b"), 0, "x"u8));
        Assert.Equal(0, p.Unlink(dir, "b"));
        Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(file, out _));
        Assert.Equal(Errno.ESTALE, p.Link(file, dir, "c"));
    }

    [Fact]
    public void Big_directories_list_completely_whatever_the_buffer()
    {
        using var p = new ZplPool();
        ulong dir = p.MakeDir(p.RootDir, "d");
        var names = new List<string>();
        for (int i = 0; i < 3000; i++)
        {
            string name = i % 100 == 0 ? $"{i}-" + new string('l', 60) : "f" + i;
            names.Add(name);
            Assert.Equal(0, p.TryMake(dir, name));
        }

        names.Sort(StringComparer.Ordinal);
        Assert.Equal(names, p.List(dir));
        Assert.Equal(names, p.List(dir, 7));
        p.Judge();
        Assert.Equal(names, p.List(dir, 501));
        foreach (string name in names)
        {
            Assert.Equal(0, p.Unlink(dir, name));
        }

        Assert.Equal(0, p.Rmdir(p.RootDir, "d"));
        p.Judge();
    }

    [Fact]
    public void Statfs_says_what_is_used_and_free()
    {
        using var p = new ZplPool();
        Assert.Equal(0, p.Fs.SyncFs());
        Assert.Equal(0, p.Fs.StatFs(out StatFs before));
        Assert.Equal((512U, 131072U, 255U), (before.BlockSize, before.RecordSize, before.NameMax));
        ulong file = p.Make(p.RootDir, "f");
        Assert.Equal(0, p.Write(file, 0, RandomBytes(3, 4 << 20)));
        Assert.Equal(0, p.Fs.SyncFs());
        Assert.Equal(0, p.Fs.StatFs(out StatFs after));
        Assert.InRange((long)(before.BlocksFree - after.BlocksFree), 15L << 9, 5L << 11);
        Assert.InRange(p.Stat(file).Blocks, 4UL << 11, 5UL << 11);
    }

    [Fact]
    public void A_read_only_mount_changes_nothing()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f");
        p.Remount(AtimeMode.On, readOnly: true);
        Assert.Equal(Errno.EROFS, p.TryMake(p.RootDir, "g"));
        Assert.Equal(Errno.EROFS, p.Write(file, 0, "x"u8));
        Assert.Equal(Errno.EROFS, p.Unlink(p.RootDir, "f"));
        Assert.Equal(Errno.EROFS, p.Rmdir(p.RootDir, "f"));
        Assert.Equal(Errno.EROFS, p.Rename(p.RootDir, "f", p.RootDir, "g"));
        Assert.Equal(Errno.EROFS, p.Link(file, p.RootDir, "g"));
        Assert.Equal(Errno.EROFS, p.Truncate(file, 5));
        Assert.Equal(Errno.EROFS, p.Fs.Open(file, true));
        Assert.Equal(Errno.EROFS, p.SetXattr(file, "user.x", "v"u8));
        Assert.Equal(Errno.EROFS, p.Fs.Fallocate(file, 0, 0, 10));
        ZnodeAttr before = p.Stat(file);
        Assert.Empty(p.Read(file));
        Assert.Equal(before.AtimeNsec, p.Stat(file).AtimeNsec);
        p.Remount();
    }

    internal static byte[] RandomBytes(int seed, int length)
    {
        var data = new byte[length];
        new Random(seed).NextBytes(data);
        return data;
    }

    /// <summary>The six entries as the format sheet lists them, worked out independently.</summary>
    private static byte[] ExpectedAcl(uint mode)
    {
        uint Mask(int shift, bool granted)
        {
            uint m = 0;
            uint bits = (mode >> shift) & 7;
            m |= ((bits & 4) != 0) == granted ? 0x1u : 0;
            m |= ((bits & 2) != 0) == granted ? 0x6u : 0;
            m |= ((bits & 1) != 0) == granted ? 0x20u : 0;
            return m;
        }

        var acl = new List<byte>();
        void Add(ushort type, ushort flags, uint mask)
        {
            acl.AddRange(BitConverter.GetBytes(type));
            acl.AddRange(BitConverter.GetBytes(flags));
            acl.AddRange(BitConverter.GetBytes(mask));
        }

        acl.AddRange(BitConverter.GetBytes(0UL));
        acl.AddRange(BitConverter.GetBytes(48U));
        acl.AddRange(BitConverter.GetBytes((ushort)1));
        acl.AddRange(BitConverter.GetBytes((ushort)6));
        Add(1, 0x1000, Mask(6, false));
        Add(0, 0x1000, Mask(6, true) | 0xC0110);
        Add(1, 0x2040, Mask(3, false));
        Add(0, 0x2040, Mask(3, true));
        Add(1, 0x4000, Mask(0, false) | 0xC0110);
        Add(0, 0x4000, Mask(0, true) | 0x120088);
        acl.AddRange(new byte[24]);
        return [.. acl];
    }

    private static unsafe byte[] AclBytes(ZnodePhys zp) => new ReadOnlySpan<byte>((byte*)&zp + 176, 88).ToArray();
}
