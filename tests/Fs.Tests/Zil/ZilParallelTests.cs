using System.Text;
using Xunit;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Several committers at once, with txgs syncing under them, on both back ends.</summary>
public sealed class ZilParallelTests
{
    private const int Threads = 3;
    private const int Files = 6;

    private static readonly SimOptions Sim = new() { MaxSteps = 4_000_000 };

    [Fact]
    public void What_each_thread_committed_is_there_after_a_crash() =>
        Backends.Run(static () => Commit(arenaBytes: 64 << 20), seeds: 12, options: Sim, osRounds: 5);

    [Fact]
    public void And_with_little_memory() =>
        Backends.Run(static () => Commit(arenaBytes: 16 << 20), seeds: 6, options: Sim, osRounds: 3);

    private static void Commit(long arenaBytes)
    {
        using var p = new ZplPool(new KmemOptions { ArenaBytes = arenaBytes, LockArena = false }, diskBytes: 64 << 20);
        var committed = new string?[Threads, Files];
        Backends.Parallel(Threads, me =>
        {
            ulong dir = p.MakeDir(p.RootDir, $"d{me}");
            for (int i = 0; i < Files; i++)
            {
                string text = new((char)('a' + me), i == 3 ? 150_000 : (i * 1700) + 10);
                ulong obj = p.Make(dir, $"tmp{i}");
                Assert.Equal(0, p.Write(obj, 0, Encoding.UTF8.GetBytes(text)));
                if (i % 2 == 0)
                {
                    Assert.Equal(0, p.Fs.Fsync(obj));
                    Assert.Equal(0, p.Rename(dir, $"tmp{i}", dir, $"f{i}"));
                    Assert.Equal(0, p.Fs.Fsync(dir));
                }
                else
                {
                    Assert.Equal(0, p.Rename(dir, $"tmp{i}", dir, $"f{i}"));
                    Assert.Equal(0, p.Fs.Fsync(obj));
                }

                committed[me, i] = text;
                if (i == me + 1)
                {
                    Assert.Equal(0, p.Spa.Sync());
                }
            }
        });
        p.Crash();
        for (int me = 0; me < Threads; me++)
        {
            ulong dir = p.Find(p.RootDir, $"d{me}");
            Assert.Equal(Files, p.List(dir).Count);
            for (int i = 0; i < Files; i++)
            {
                Assert.Equal(committed[me, i], Encoding.UTF8.GetString(p.Read(p.Find(dir, $"f{i}"))));
            }
        }

        p.Judge(zdb: false);
    }
}
