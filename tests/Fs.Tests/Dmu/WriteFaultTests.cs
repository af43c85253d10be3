using Xunit;
using ZfsLite.Fs;
using ZfsLite.TestKit;

namespace Fs.Tests.Dmu;

/// <summary>
/// A disk whose k-th I/O and all later ones fail: the pool suspends, every later change and sync is EIO, nothing hangs, nothing more
/// reaches the disk, and what is there is a clean pool of an earlier txg.
/// </summary>
public sealed unsafe class WriteFaultTests
{
    [Theory]
    [InlineData(9)]
    [InlineData(12)]
    public void AFailedWriteSuspendsThePoolAndLeavesAnOlderCleanOne(int ashift)
    {
        int suspended = 0;
        for (int k = 1; k <= 60; k += Backends.IsSim ? 7 : 1)
        {
            int failAt = k;
            Backends.Run(() => suspended += Run(ashift, failAt) ? 1 : 0, seeds: 1, timeoutMs: 20_000);
        }

        Assert.True(suspended >= (Backends.IsSim ? 4 : 30), $"only {suspended} runs suspended");
    }

    private static bool Run(int ashift, int k)
    {
        using var memory = new KmemScope(24 << 20) { Failed = true };
        var disk = new SimVdevIo(TestPool.Format(64 << 20, ashift), (ulong)k);
        Spa spa = Spa.Open([disk], new SpaOpenOptions { Workers = 2 });
        Objset os = spa.OpenObjset("tank");
        Zfsvfs fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
        var cred = new Cred(0, 0);
        Assert.Equal(0, fs.Create(cred, fs.RootObject, "kept"u8, 0x81A4, 0, default, out ZnodeAttr kept));
        Assert.Equal(0, Write(fs, kept.Object, 0));
        Assert.Equal(0, spa.Sync());
        ulong good = spa.Uberblock.Txg;
        disk.FailAtIo = disk.IoCount + k;
        disk.FailForever = true;
        bool failed = false;
        for (int round = 0; round < 6 && !failed; round++)
        {
            failed |= Write(fs, kept.Object, (ulong)round) != 0;
            string name = $"f{round}";
            failed |= fs.Create(cred, fs.RootObject, System.Text.Encoding.UTF8.GetBytes(name), 0x81A4, 0, default, out _) != 0;
            failed |= spa.Sync() != 0;
        }

        MemoryVdevIo image = disk.CurrentImage();
        if (failed)
        {
            Assert.True(spa.IsSuspended);
            disk.FailAtIo = 0;
            disk.FailForever = false;
            long writes = disk.WriteCount;
            Assert.Equal(Errno.EIO, spa.Sync());
            Assert.Equal(Errno.EIO, Write(fs, kept.Object, 9));
            Assert.Equal(Errno.EIO, fs.Create(cred, fs.RootObject, "late"u8, 0x81A4, 0, default, out _));
            Assert.Equal(Errno.EIO, spa.RunSyncTask(static _ => { }));
            byte first;
            Assert.Equal(0, fs.Read(kept.Object, 0, 1, &first, out int got));
            Assert.Equal(1, got);
            fs.Unmount();
            spa.CloseObjset(os);
            spa.Close();
            Assert.Equal(writes, disk.WriteCount);
        }
        else
        {
            disk.FailAtIo = 0;
            disk.FailForever = false;
            fs.Unmount();
            spa.CloseObjset(os);
            spa.Close();
        }

        // A suspended pool keeps what was dirty until the process ends.
        memory.Failed = failed;
        using PoolReader pool = PoolReader.Open([image]);
        Assert.True(pool.Uberblock.Txg >= good, $"txg {pool.Uberblock.Txg}, {good} was synced");
        Assert.Equal([], PoolChecker.Run(pool).Findings
            .Where(static f => f.Severity == CheckSeverity.Error && !f.Message.Contains("label", StringComparison.Ordinal))
            .Select(f => $"I/O {k}: {f}"));
        return failed;
    }

    private static int Write(Zfsvfs fs, ulong obj, ulong round)
    {
        const int Length = 40_000;
        byte* data = stackalloc byte[Length];
        var random = new SplitMix(round + 1);
        for (int i = 0; i < Length; i += 8)
        {
            *(ulong*)(data + i) = random.NextUInt64();
        }

        return fs.Write(obj, round * 30_000, Length, data, ZplWriteFlags.None, out _);
    }
}
