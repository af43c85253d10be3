using Xunit;

namespace ZfsLite.Fs.Tests;

/// <summary>Files without a name, files that a rename replaced, and files whose flags forbid changes, below the FUSE door.</summary>
[Trait("Backend", "os")]
public sealed class ZplTemporaryTests
{
    private static ulong Temporary(ZplPool p)
    {
        Assert.Equal(0, p.Fs.CreateTemporary(ZplPool.Root, p.RootDir, 0x1A4, out ZnodeAttr attr));
        Assert.Equal((0U, 0x81A4U), (attr.Links, attr.Mode));
        return attr.Object;
    }

    [Fact]
    public void A_temporary_file_goes_with_its_handle()
    {
        using var p = new ZplPool();
        ulong file = Temporary(p);
        Assert.Equal(0, p.Write(file, 0, ZplBasicTests.RandomBytes(1, 300_000)));
        Assert.Empty(p.List(p.RootDir));
        Assert.Equal(0, p.Fs.Close(file));
        Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(file, out _));
        p.Judge(zdb: false);
    }

    [Fact]
    public void A_temporary_file_is_gone_after_a_crash()
    {
        using var p = new ZplPool();
        ulong file = Temporary(p);
        Assert.Equal(0, p.Write(file, 0, ZplBasicTests.RandomBytes(1, 300_000)));
        Assert.Equal(0, p.Fs.SyncFs());
        p.Crash();
        Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(file, out _));
        p.Judge(zdb: false);
    }

    [Fact]
    public void A_temporary_file_that_was_linked_stays_and_is_linked_once()
    {
        using var p = new ZplPool();
        ulong file = Temporary(p), other = Temporary(p);
        byte[] data = ZplBasicTests.RandomBytes(1, 300_000);
        Assert.Equal(0, p.Write(file, 0, data));
        Assert.Equal(0, p.Link(file, p.RootDir, "named"));
        Assert.Equal(Errno.EEXIST, p.Link(other, p.RootDir, "named"));
        Assert.Equal(0, p.Link(file, p.RootDir, "again"));
        Assert.Equal(2U, p.Stat(file).Links);
        Assert.Equal(0, p.Unlink(p.RootDir, "again"));
        Assert.Equal(0, p.Fs.Close(file));
        Assert.Equal(0, p.Fs.Close(other));
        Assert.Equal(0, p.Fs.SyncFs());
        p.Crash();
        Assert.Equal(data, p.Read(p.Find(p.RootDir, "named")));
        Assert.Equal(1U, p.Stat(file).Links);
        p.Judge(zdb: false);
    }

    [Fact]
    public void What_a_rename_replaced_stays_until_the_kernel_forgets_it()
    {
        using var p = new ZplPool();
        p.Fs.KeepsReplaced = true;
        ulong old = p.Make(p.RootDir, "old"), fresh = p.Make(p.RootDir, "new");
        Assert.Equal(0, p.Write(old, 0, "old"u8));
        Assert.Equal(0, p.Rename(p.RootDir, "new", p.RootDir, "old"));
        Assert.Equal(0, p.Fs.Open(old, false));
        Assert.Equal(3, p.Read(old).Length);
        Assert.Equal(0, p.Fs.Close(old));
        Assert.Equal(0U, p.Stat(old).Links);
        p.Fs.Forget(fresh);
        Assert.Equal(0U, p.Stat(old).Links);
        p.Fs.Forget(old);
        Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(old, out _));
        p.Fs.Forget(old);
        Assert.Equal(fresh, p.Find(p.RootDir, "old"));
        p.Judge(zdb: false);
    }

    [Fact]
    public void Of_what_renames_replaced_only_the_latest_stay_and_none_over_an_unmount()
    {
        using var p = new ZplPool();
        p.Fs.KeepsReplaced = true;
        List<ulong> replaced = [p.Make(p.RootDir, "f")];
        for (int i = 0; i < 70; i++)
        {
            ulong next = p.Make(p.RootDir, "next");
            Assert.Equal(0, p.Rename(p.RootDir, "next", p.RootDir, "f"));
            replaced.Add(next);
        }

        Assert.Equal(64, replaced.Count(o => p.Fs.GetAttr(o, out ZnodeAttr attr) == 0 && attr.Links == 0));
        Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(replaced[0], out _));
        p.Remount();
        Assert.Equal([replaced[^1]], replaced.Where(o => p.Fs.GetAttr(o, out _) == 0));
        p.Judge(zdb: false);
    }

    [Fact]
    public void Flags_are_kept_and_heeded_and_leave_the_others_alone()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f"), dir = p.MakeDir(p.RootDir, "d");
        ZnodeFlags made = p.Stat(file).Flags;
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, file, SetAttrMask.Flags, new ZnodeAttr { Flags = ZnodeFlags.Immutable | ZnodeFlags.NoDump }, out _));
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, dir, SetAttrMask.Flags, new ZnodeAttr { Flags = ZnodeFlags.AppendOnly }, out _));
        p.Remount();
        Assert.Equal(made | ZnodeFlags.Immutable | ZnodeFlags.NoDump, p.Stat(file).Flags);
        Assert.Equal(Errno.EPERM, p.Unlink(p.RootDir, "f"));
        Assert.Equal(Errno.EPERM, p.Truncate(file, 0));
        Assert.Equal(Errno.EPERM, p.SetXattr(file, "user.a", "v"u8));
        Assert.Equal(Errno.EPERM, p.Link(file, p.RootDir, "g"));
        Assert.Equal(Errno.EPERM, p.Rename(p.RootDir, "d", p.RootDir, "e"));
        p.Make(dir, "inside");
        Assert.Equal(Errno.EPERM, p.Unlink(dir, "inside"));

        // Pages written before may still come, with their time.
        Assert.Equal(0, p.Write(file, 0, "late"u8));
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, file, SetAttrMask.Mtime | SetAttrMask.Ctime, new ZnodeAttr { MtimeSec = 5, CtimeSec = 5 }, out _));
        Assert.Equal(0, p.Fs.SetAttr(ZplPool.Root, file, SetAttrMask.Flags, default, out _));
        Assert.Equal(made, p.Stat(file).Flags);
        Assert.Equal(0, p.Unlink(p.RootDir, "f"));
        p.Judge(zdb: false);
    }
}
