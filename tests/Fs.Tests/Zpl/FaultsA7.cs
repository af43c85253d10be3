using System.Collections.Concurrent;
using Xunit;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>
/// The faults of the SPL allocator's history that were the file system's, by the numbers of the project's fact sheet (A7); the others, and
/// why some can't occur, are in Kmem.Tests, FaultsA7. Each was an allocation under a lock that the reclaim which it ran into wanted too.
/// So every allocation of a busy file system is asked what its thread holds.
/// </summary>
[Trait("Backend", "os")]
public sealed class FaultsA7
{
    private const int Files = 120;
    private const int FileBytes = 100_000;

    [Fact]
    public void A7_23_nothing_is_allocated_while_a_txg_is_being_closed() => NeverHeld("tc_open_lock", "tc_lock");

    /// <summary>Upstream a lock stood for all inodes of one hash. Here it stands for all.</summary>
    [Fact]
    public void A7_24_nothing_is_allocated_under_the_lock_that_eviction_takes_for_another_file() => NeverHeld("zfs_znode_cache");

    [Fact]
    public void A7_25_nothing_is_allocated_under_the_locks_of_the_arc() => NeverHeld("arc_mtx", "dbuf_hash", "dn_dbufs_mtx");

    private static void NeverHeld(params string[] locks)
    {
        var held = new ConcurrentDictionary<string, int>(StringComparer.Ordinal);
        long asked = 0;
        var memory = new KmemOptions { ArenaBytes = 32 << 20, LockArena = false, FaultPoints = true };
        using (var pool = new ZplPool(memory, AtimeMode.On))
        {
            using (new AllocationFault(thread =>
            {
                Interlocked.Increment(ref asked);
                foreach (IWaitable w in thread.HeldLocks())
                {
                    held.TryAdd(w.WaitName, 0);
                }

                return false;
            }))
            {
                Work(pool);
            }

            // All of them were in use: blocks were found, evicted and written, znodes evicted, txgs closed.
            Assert.True(pool.Fs.Znodes.Stats.EvictedClean + pool.Fs.Znodes.Stats.HandedToInactiveQueue > 0);
            Assert.True(pool.Spa.Txg.SyncedTxg > 10);
        }

        Assert.True(asked > 2000, $"{asked} allocations");
        Assert.Contains("mutex db_mtx", held.Keys);
        Assert.All(locks, l => Assert.DoesNotContain(held.Keys, k => k.StartsWith("mutex " + l, StringComparison.Ordinal)));
    }

    /// <summary>More data than the arena holds, from two threads, with reads that come back from the disk, and eviction.</summary>
    private static void Work(ZplPool pool) => Backends.Parallel(2, me =>
    {
        byte[] data = new byte[FileBytes];
        new Random(me).NextBytes(data);
        ulong dir = pool.MakeDir(pool.RootDir, $"d{me}");
        var files = new List<ulong>();
        for (int i = 0; i < Files; i++)
        {
            files.Add(pool.Make(dir, $"f{i}"));
            Assert.Equal(0, pool.Write(files[i], 0, data));
            if (i % 10 == 9)
            {
                Assert.Equal(0, pool.Fs.SyncFs());
            }
        }

        for (int i = 0; i < Files; i++)
        {
            Assert.Equal(data, pool.Read(files[i], 0, FileBytes));
            if (i % 3 == 0)
            {
                Assert.Equal(0, pool.Truncate(files[i], (ulong)i));
                Assert.Equal(0, pool.Rename(dir, $"f{i}", dir, $"g{i}"));
            }

            if (i % 16 == 0)
            {
                pool.Fs.Znodes.Scan(new ShrinkControl(false, true), 20);
            }
        }

        for (int i = 1; i < Files; i += 3)
        {
            Assert.Equal(0, pool.Unlink(dir, $"f{i}"));
        }
    });
}
