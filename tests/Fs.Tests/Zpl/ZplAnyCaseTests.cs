using Xunit;
using ZfsLite.Txn;

namespace ZfsLite.Fs.Tests;

/// <summary>A file system whose names differ in more than case only (casesensitivity=insensitive).</summary>
[Trait("Backend", "os")]
public sealed unsafe class ZplAnyCaseTests
{
    [Fact]
    public void Names_are_found_in_any_case_and_keep_their_spelling()
    {
        using ZplPool p = MakePool();
        ulong file = p.Make(p.RootDir, "ReadMe");
        Assert.Equal(file, p.Find(p.RootDir, "README"));
        Assert.Equal(Errno.EEXIST, p.TryMake(p.RootDir, "readme"));
        Assert.Equal(["ReadMe"], p.List(p.RootDir));
        Assert.Equal(0, p.Rename(p.RootDir, "readme", p.RootDir, "README"));
        Assert.Equal(["README"], p.List(p.RootDir));
        ulong dir = p.MakeDir(p.RootDir, "Dir");
        ulong sub = p.MakeDir(dir, "Sub");
        Assert.Equal(sub, p.Find(p.Find(p.RootDir, "DIR"), "SUB"));
        Assert.Equal(0, p.Rename(p.RootDir, "readme", dir, "sub2"));
        Assert.Equal(file, p.Find(dir, "SUB2"));
        ulong other = p.Make(p.RootDir, "other");
        Assert.Equal(0, p.Rename(p.RootDir, "OTHER", dir, "SUB2"));
        Assert.Equal(other, p.Find(dir, "sub2"));
        Assert.Equal(Errno.ESTALE, p.Fs.GetAttr(file, out _));
        p.Judge();
        Assert.Equal(0, p.Unlink(dir, "sUB2"));
        Assert.Equal(0, p.Rmdir(dir, "SUB"));
        Assert.Equal(0, p.Rmdir(p.RootDir, "dIR"));
        Assert.Empty(p.List(p.RootDir));
    }

    [Fact]
    public void Large_directories_too()
    {
        using ZplPool p = MakePool();
        ulong dir = p.MakeDir(p.RootDir, "d");
        for (int i = 0; i < 500; i++)
        {
            Assert.Equal(0, p.TryMake(dir, "Name" + i + (i == 250 ? new string('L', 60) : "")));
        }

        for (int i = 0; i < 500; i++)
        {
            string name = "nAME" + i + (i == 250 ? new string('l', 60) : "");
            Assert.Equal(0, p.Lookup(dir, name));
            Assert.Equal(0, p.Unlink(dir, name));
        }

        Assert.Equal(0, p.Rmdir(p.RootDir, "D"));
    }

    /// <summary>Turns a new, empty file system into one that ignores case.</summary>
    private static ZplPool MakePool()
    {
        var p = new ZplPool();
        Dnode master = p.Objset.HoldObject(1);
        Dnode root = p.Objset.HoldObject(p.RootDir);
        DmuTx tx = DmuTx.Create(p.Objset.Txg);
        tx.HoldZap(master, add: true);
        tx.HoldZap(root, add: true);
        Assert.Equal(0, tx.Assign(TxAssign.Wait));
        Assert.Equal(0, Zap.Update(master, "casesensitivity", 1, tx));
        Zap.Format(root, tx, Zap.NormToUpper);
        tx.Commit();
        root.Release();
        master.Release();
        p.Remount();
        return p;
    }
}
