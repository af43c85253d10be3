using Xunit;
using ZfsLite.Fs;
using ZfsLite.Fs.Tests;
using ZfsLite.Kmem;
using ZfsLite.TestKit;

namespace Fs.Tests.Dmu;

/// <summary>Small records far apart: every dirty block has an indirect block of its own, together more than the arena.</summary>
public sealed class IndirectPressureTests
{
    [Fact]
    public void ATxgWhoseIndirectBlocksAreLargerThanTheArenaIsWritten() => Backends.Run(
        static () =>
        {
            const int Record = 4096;
            const ulong Stride = 128 * Record;
            int blocks = Backends.IsSim ? 1100 : 1500;
            using var p = new ZplPool(new KmemOptions { ArenaBytes = KmemOptions.MinArenaBytes, LockArena = false, OomTimeoutNs = 5_000_000_000 }, recordSize: Record);
            ulong file = p.Make(p.RootDir, "sparse");
            byte[] data = new byte[Record];
            Assert.Equal(0, p.Truncate(file, Stride * (ulong)blocks));
            Assert.Equal(0, p.Spa.Sync());
            for (int i = 0; i < blocks; i++)
            {
                // In no order of the file's.
                ulong at = (ulong)(i * 7 % blocks);
                Array.Fill(data, (byte)(at + 1));
                Assert.Equal(0, p.Write(file, at * Stride, data));
            }

            Assert.Equal(0, p.Spa.Sync());
            Assert.InRange(p.Spa.Arc.SizeBytes, 1, KmemOptions.MinArenaBytes);
            for (int i = 0; i < blocks; i++)
            {
                Assert.Equal((byte)(i + 1), p.Read(file, (ulong)i * Stride, 1)[0]);
            }

            p.Judge();
        },
        seeds: 2,
        options: new ZfsLite.Kmem.Spl.SimOptions { MaxSteps = 20_000_000 });
}
