using System.Text;
using Xunit;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace Fs.Tests.Zil;

/// <summary>
/// Log devices that fail: nobody waits for them, nothing that was acknowledged is lost whatever a crash leaves, the pool says so, and uses them again
/// when it is told to.
/// </summary>
public sealed unsafe class LogFaultTests
{
    private const int Large = 60_000;

    [Fact]
    public void ALogDeviceThatFailsAtAnyIoSuspendsNothingAndNothingAcknowledgedIsLost()
    {
        int failed = 0;
        for (int k = 1; k <= 36; k += Backends.IsSim ? 5 : 1)
        {
            int at = k;
            Run(w =>
            {
                w.Commit();
                w.Log.FailAtIo = w.Log.IoCount + at;
                w.Log.FailForever = true;
                for (int i = 0; i < 6; i++)
                {
                    w.Commit();
                    w.VerifyCrash((ulong)i);
                }

                failed += w.LogVdev.Fault is null ? 0 : 1;
                Assert.False(w.Spa.IsSuspended);
                if (w.LogVdev.Fault is { } fault)
                {
                    Assert.Contains("log failed: EIO", fault, StringComparison.Ordinal);
                    Assert.False(w.Spa.Allocator.HasLogVdevs);
                    Assert.Equal(0, w.LogBytes);
                }
            });
        }

        Assert.True(failed >= (Backends.IsSim ? 2 : 8), $"only {failed} log devices failed");
    }

    [Fact]
    public void AFailedLogDeviceIsUsedAgainAfterClearAndOnlyThen() => Run(w =>
    {
        w.FailLog();
        ZfsException e = Assert.Throws<ZfsException>(() => w.Spa.ClearLogFaults());
        Assert.Contains("log device log of pool 'tank' still fails: EIO", e.Message, StringComparison.Ordinal);
        w.Commit();
        Assert.NotNull(w.LogVdev.Fault);
        w.Log.FailAtIo = 0;
        w.Commit();
        Assert.Equal(0, w.LogBytes);
        Assert.Equal(1, w.Spa.ClearLogFaults());
        Assert.Null(w.LogVdev.Fault);
        w.Commit();
        w.Commit();
        Assert.True(w.LogBytes > Large, $"{w.LogBytes} bytes of log");
        w.VerifyCrash(1);
        Assert.Equal(0, w.Spa.ClearLogFaults());
    });

    [Fact]
    public void ATxgDoesNotFailWithALogDeviceAndAnotherOneServes() => Run(w =>
    {
        w.Commit();
        w.Log.FailAtIo = w.Log.IoCount + 1;
        w.Log.FailForever = true;
        MemoryVdevIo other = new(64 << 20, "other");
        w.Spa.AddLogDevice(other);
        Assert.False(w.Spa.IsSuspended);
        Assert.Contains("log failed: EIO", w.LogVdev.Fault, StringComparison.Ordinal);
        w.Commit();
        w.Commit();
        Assert.True(w.Spa.Allocator.GetMetaslabStats().Where(static m => m.Vdev == 2).Sum(static m => m.Allocated) > Large);
        Assert.Equal(0, w.LogBytes);
        w.VerifyCrash(1, other);
        w.Spa.RemoveLogDevice("other");
    });

    [Fact]
    public void AFailedLogDeviceCanBeRemoved() => Run(w =>
    {
        w.FailLog();
        w.Spa.RemoveLogDevice("log");
        Assert.Equal(["data"], w.Spa.Vdevs.Select(static v => v.Path));
        w.Commit();
        w.LogIsGone = true;
        w.VerifyCrash(1);
    });

    [Fact]
    public void ALogDeviceThatFailsWhileItJoinsDoesNotJoin()
    {
        int refused = 0;
        for (int k = 1; k <= 40; k += Backends.IsSim ? 7 : 1)
        {
            int at = k;
            Run(w =>
            {
                var bad = new SimVdevIo(64 << 20, 3, "bad") { FailAtIo = at, FailForever = true };
                try
                {
                    w.Spa.AddLogDevice(bad);
                }
                catch (ZfsException e)
                {
                    Assert.Contains("bad", e.Message, StringComparison.Ordinal);
                    refused++;
                }

                Assert.False(w.Spa.IsSuspended);
                if (w.Spa.Vdevs.Any(static v => v.Path == "bad"))
                {
                    bad.FailAtIo = 0;
                    w.Spa.RemoveLogDevice("bad");
                }

                w.Commit();
                w.VerifyCrash(1);
            });
        }

        Assert.True(refused >= 4, $"only {refused} were refused");
    }

    [Fact]
    public void ALogBlockOnADataDiskThatFailsIsWaitedForAndSuspendsNothing() => Run(
        w =>
        {
            w.Commit();
            w.Commit();
            long synced = w.Fs.LogStats.Synced;
            int fellBack = 0;
            for (int i = 0; i < 5; i++)
            {
                w.Data.FailAtIo = w.Data.IoCount + 1;
                w.Data.FailIos = 2;
                w.Commit(length: 10);
                Assert.False(w.Spa.IsSuspended);
                fellBack += w.Fs.LogStats.Synced > synced ? 1 : 0;
                w.VerifyCrash((ulong)i);
                w.Commit();
            }

            Assert.True(fellBack > 0);
            Assert.Equal(10, w.Spa.Suspension.Errors.Writes);
        },
        withLog: false);

    private static void Run(Action<World> body, bool withLog = true) => Backends.Run(
        () =>
        {
            using var memory = new KmemScope(24 << 20) { Failed = true };
            var world = new World(withLog);
            body(world);
            world.Close();
            world.VerifyDurable();
            memory.Failed = false;
        },
        seeds: 1,
        timeoutMs: 60_000,
        options: new SimOptions { MaxSteps = 20_000_000 });

    /// <summary>A pool on a disk and a log device that can fail, with a file system whose files were all committed.</summary>
    private sealed class World
    {
        private static readonly Cred s_root = new(0, 0);
        private readonly Objset _os;
        private readonly List<int> _lengths = [];

        internal World(bool withLog)
        {
            MemoryVdevIo[] disks = [new(64 << 20, "data"), .. withLog ? (MemoryVdevIo[])[new(64 << 20, "log")] : []];
            PoolFormatter.Format(disks, new PoolCreateOptions { Name = "tank", GuidSeed = 1, LogDevices = disks.Length - 1, Exported = false });
            Data = new SimVdevIo(disks[0], 1);
            Log = new SimVdevIo(withLog ? disks[1] : new MemoryVdevIo(64 << 20), 2);
            LogIsGone = !withLog;
            Spa = Spa.Open(withLog ? [Data, Log] : [Data], new SpaOpenOptions { Workers = 2, TxgTimeoutSeconds = 3600 });
            Spa.Suspension.Enable();
            _os = Spa.OpenObjset("tank");
            Fs = Zfsvfs.Mount(_os, false, AtimeMode.Off);
            LogVdev = Spa.Vdevs[^1];
        }

        internal SimVdevIo Data { get; }

        internal SimVdevIo Log { get; }

        internal Spa Spa { get; }

        internal Zfsvfs Fs { get; }

        internal Vdev LogVdev { get; }

        internal bool LogIsGone { get; set; }

        internal long LogBytes => Spa.Allocator.GetMetaslabStats().Where(static m => m.Vdev == 1).Sum(static m => m.Allocated);

        internal void FailLog()
        {
            Commit();
            Log.FailAtIo = Log.IoCount + 1;
            Log.FailForever = true;
            Commit();
            Assert.NotNull(LogVdev.Fault);
        }

        /// <summary>Makes a file, writes and commits it.</summary>
        internal void Commit(int length = 0)
        {
            length = length != 0 ? length : _lengths.Count % 2 == 0 ? 700 : Large;
            Assert.Equal(0, Fs.Create(s_root, Fs.RootObject, NameOf(_lengths.Count), 0x81A4, 0, default, out ZnodeAttr attr));
            fixed (byte* p = Contents(_lengths.Count, length))
            {
                Assert.Equal(0, Fs.Write(attr.Object, 0, length, p, ZplWriteFlags.None, out _));
            }

            Assert.Equal(0, Fs.Fsync(attr.Object));
            _lengths.Add(length);
        }

        internal void Close()
        {
            Fs.Unmount();
            Spa.CloseObjset(_os);
            Spa.Close();
        }

        /// <summary>Everything committed survives a crash now, of which the log device keeps what it kept.</summary>
        internal void VerifyCrash(ulong seed, params MemoryVdevIo[] more) => Verify([Data.CrashImage(seed), .. LogIsGone ? (MemoryVdevIo[])[] : [Log.CrashImage(seed)], .. more.Select(static m => m.Clone())]);

        internal void VerifyDurable() => Verify([Data.DurableImage(), .. LogIsGone ? (MemoryVdevIo[])[] : [Log.DurableImage()]]);

        private void Verify(MemoryVdevIo[] disks)
        {
            Spa spa = Spa.Open(disks, new SpaOpenOptions { Workers = 1 });
            Objset os = spa.OpenObjset("tank");
            Zfsvfs fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
            for (int i = 0; i < _lengths.Count; i++)
            {
                Assert.True(fs.Lookup(fs.RootObject, NameOf(i), out ZnodeAttr attr) == 0, $"file {i} is lost");
                byte[] data = new byte[_lengths[i]];
                fixed (byte* p = data)
                {
                    Assert.Equal(0, fs.Read(attr.Object, 0, data.Length, p, out int done));
                    Assert.Equal(data.Length, done);
                }

                Assert.Equal(Contents(i, data.Length), data);
            }

            fs.Unmount();
            spa.CloseObjset(os);
            spa.Close();
            using PoolReader pool = PoolReader.Open(disks.Select(static d => d.Clone()));
            Assert.Empty(PoolChecker.Run(pool).Findings);
        }

        private static byte[] NameOf(int file) => Encoding.UTF8.GetBytes($"f{file}");

        private static byte[] Contents(int file, int length)
        {
            var data = new byte[length];
            for (int i = 0; i < length; i++)
            {
                data[i] = (byte)((i >> 8) + (i * 7) + file);
            }

            return data;
        }
    }
}
