using System.Text;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>
/// Golden pools through the mounted ZPL, read-only, against the offline reader, which the manifests have judged: every name,
/// attribute, byte, link target and extended attribute. And the ACL that this code would write against the one that is there.
/// </summary>
[Trait("Backend", "os")]
public sealed unsafe class ZplGoldenTests : IDisposable
{
    private readonly KmemScope _kmem = new(64 << 20);

    public void Dispose() => _kmem.Dispose();

    [GoldenFact("goldmini")]
    public void Goldmini_reads_the_same() => Assert.Equal(4, Compare("goldmini", "goldmini"));

    [GoldenFact("golda12")]
    public void Golda12_reads_the_same() => Assert.True(Compare("golda12", "golda12") + Compare("golda12", "golda12/gz") >= 14);

    [GoldenFact("goldd")]
    public void Goldd_reads_the_same() => Assert.Equal(8, Compare("goldd", null));

    [GoldenFact("golda")]
    public void Golda_and_its_snapshots_read_the_same()
    {
        Assert.True(Compare("golda", "golda") > 2600);
        Assert.True(Compare("golda", "golda/snapped@s1") > 5);
        Assert.True(Compare("golda", "golda/clone") > 5);
    }

    private static int Compare(string pool, string? dataset)
    {
        using PoolReader reader = PoolReader.Open(GoldenPools.LoadAll(pool));
        OfflineDataset ds = pool == "goldd" || pool == "goldmini" ? reader.Datasets().First() : reader.Datasets().First(d => d.Name == dataset);
        OfflineZpl offline = reader.OpenFileSystem(ds);
        Spa spa = Spa.Open(GoldenPools.LoadAll(pool), new SpaOpenOptions { ReadOnly = true });
        Objset os = spa.OpenObjset(ds.Name);
        Zfsvfs fs = Zfsvfs.Mount(os, readOnly: true, AtimeMode.On);
        int count = 0;
        try
        {
            foreach (var entry in offline.Tree())
            {
                Assert.Equal(entry.Object, Resolve(fs, entry.Path));
                CompareOne(fs, offline, entry.Object, entry.Path);
                count++;
            }
        }
        finally
        {
            fs.Unmount();
            spa.CloseObjset(os);
            spa.Close();
        }

        return count;
    }

    private static ulong Resolve(Zfsvfs fs, string path)
    {
        ulong at = fs.RootObject;
        foreach (string name in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            Assert.True(fs.Lookup(at, Encoding.UTF8.GetBytes(name), out ZnodeAttr attr) == 0, $"{path}: {name}");
            at = attr.Object;
        }

        return at;
    }

    private static void CompareOne(Zfsvfs fs, OfflineZpl offline, ulong obj, string path)
    {
        ZnodePhys want = offline.ReadZnode(obj);
        Assert.Equal(0, fs.GetAttr(obj, out ZnodeAttr got));
        Assert.Equal(
            (path, want.Mode, want.Size, want.Links, want.Uid, want.Gid, want.Generation),
            (path, (ulong)got.Mode, got.Size, (ulong)got.Links, (ulong)got.Uid, (ulong)got.Gid, got.Generation));
        Assert.Equal((want.MtimeSeconds, want.MtimeNanoseconds, want.AtimeNanoseconds), (got.MtimeSec, (long)got.MtimeNsec, (long)got.AtimeNsec));
        CompareAcl(want, path);
        switch (got.Mode & 0xF000)
        {
            case 0x8000 when got.Size < 64 << 20:
                CompareData(fs, offline, obj, got.Size, path);
                break;
            case 0xA000:
                var target = new byte[4096];
                Assert.Equal(0, fs.ReadLink(obj, target, out int length));
                Assert.Equal(offline.ReadLink(obj), Encoding.UTF8.GetString(target, 0, length));
                break;
        }

        SortedDictionary<string, byte[]> xattrs = offline.ReadXattrs(obj);
        foreach ((string name, byte[] value) in xattrs)
        {
            var room = new byte[value.Length + 1];
            Assert.Equal(0, fs.GetXattr(obj, Encoding.UTF8.GetBytes(name), room, out int length));
            Assert.Equal(value, room[..length]);
        }

        Assert.Equal(0, fs.ListXattr(obj, default, out int listLength));
        Assert.Equal(xattrs.Keys.Sum(k => Encoding.UTF8.GetByteCount(k) + 1), listLength);
    }

    private static void CompareAcl(ZnodePhys want, string path)
    {
        if ((want.Flags & ZnodePhys.FlagAclTrivial) == 0)
        {
            return;
        }

        ZnodePhys ours = want;
        ours.Flags &= ~(ZnodePhys.FlagAclTrivial | ZnodePhys.FlagNoExecsDenied);
        new Span<byte>((byte*)&ours + 176, 88).Fill(0xcc);
        ZplAcl.SetMode(&ours, (uint)want.Mode);
        Assert.Equal((path, Hex(want), want.Flags), (path, Hex(ours), ours.Flags));
    }

    private static string Hex(ZnodePhys zp) => Convert.ToHexString(new ReadOnlySpan<byte>((byte*)&zp + 176, 88));

    private static void CompareData(Zfsvfs fs, OfflineZpl offline, ulong obj, ulong size, string path)
    {
        var ours = new byte[1 << 17];
        var theirs = new byte[1 << 17];
        for (ulong at = 0; at < size; at += (ulong)ours.Length)
        {
            int n = offline.ReadFile(obj, at, theirs);
            fixed (byte* p = ours)
            {
                Assert.Equal(0, fs.Read(obj, at, ours.Length, p, out int done));
                Assert.Equal(n, done);
            }

            Assert.True(ours.AsSpan(0, n).SequenceEqual(theirs.AsSpan(0, n)), $"{path} differs at {at}");
        }
    }
}
