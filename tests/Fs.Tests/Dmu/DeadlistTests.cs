using Xunit;
using ZfsLite.Fs;
using ZfsLite.TestKit;

namespace Fs.Tests.Dmu;

/// <summary>What happens to blocks that a snapshot shares: on a golden pool with snapshots and a clone, judged by the checker.</summary>
[Trait("Backend", "os")]
public sealed unsafe class DeadlistTests
{
    [GoldenFact("golda")]
    public void FreeingWhatASnapshotHasGoesToTheDeadlistAndEveryAccountStaysRight()
    {
        using var memory = new KmemScope(48 << 20) { Failed = true };
        MemoryVdevIo io = GoldenPools.LoadAll("golda")[0];
        Spa spa = Spa.Open([io], new SpaOpenOptions { WriteWithSnapshots = true });
        Assert.Null(spa.ReadOnlyReason);
        foreach (string name in (string[])["golda/snapped", "golda/clone", "golda/parent/kid"])
        {
            Objset os = spa.OpenObjset(name);
            Zfsvfs fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
            Assert.True(ChangeEverything(fs) > 0, name);
            fs.Unmount();
            spa.CloseObjset(os);
        }

        MemoryVdevIo? copy = null;
        spa.BeforeDevicesClose = () => copy = io.Clone();
        Assert.False(spa.IsSuspended, spa.SuspendReason);
        spa.Close();
        using (PoolReader pool = PoolReader.Open([copy!]))
        {
            CheckResult result = PoolChecker.Run(pool);
            Assert.Equal([], result.Findings.Where(f => f.Severity == CheckSeverity.Error).Select(f => f.ToString()));
        }

        memory.Failed = false;
    }

    private static int ChangeEverything(Zfsvfs fs)
    {
        var names = new Names();
        Assert.Equal(0, fs.ReadDir(fs.RootObject, 0, names));
        int changed = 0;
        byte* data = stackalloc byte[4096];
        new Span<byte>(data, 4096).Fill(0x5a);
        foreach ((byte[] name, ulong obj, int type) in names.Found.Where(static n => n.Type == 8))
        {
            changed++;
            if (changed % 2 == 0)
            {
                Assert.Equal(0, fs.Unlink(fs.RootObject, name));
            }
            else
            {
                Assert.Equal(0, fs.Write(obj, 100, 4096, data, ZplWriteFlags.None, out int done));
                Assert.Equal(4096, done);
            }
        }

        return changed;
    }

    private sealed class Names : IDirFiller
    {
        internal List<(byte[] Name, ulong Object, int Type)> Found { get; } = [];

        public bool Add(ReadOnlySpan<byte> name, ulong obj, int type, ulong nextCookie)
        {
            Found.Add((name.ToArray(), obj, type));
            return true;
        }
    }
}
