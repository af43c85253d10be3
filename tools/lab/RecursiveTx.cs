using System.Runtime.CompilerServices;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>
/// The recursive transaction, in the smallest world that has it: readers fill the arena with znodes whose atime is dirty,
/// writers hold transactions while they allocate. Reclaim, in the writer's own thread, evicts such a znode, which takes a
/// transaction. When that one has to wait for the writer's own txg, the writer waits for itself.
/// </summary>
internal sealed unsafe class RecursiveTx(ScenarioOptions options)
{
    private const int IndirectBytes = 16 << 10;
    private const int IndirectsEach = 2;

    /// <summary>What happened so far.</summary>
    internal ScenarioCounters Counters { get; } = new();

    /// <summary>Runs in the calling thread; returns when all work is done. Kmem is set up and taken down here.</summary>
    internal KmemStats Run()
    {
        KmemSystem.Init(new KmemOptions
        {
            ArenaBytes = options.ArenaBytes,
            Policy = options.Policy,
            TortureReclaim = options.Torture,
            LockArena = false,
        });
        var pool = new MiniPool(options, Counters);
        var cache = new MiniZnodeCache(pool, options, Counters);
        pool.Engine.Start();
        cache.Start();
        for (int i = 0; i < options.Warmup; i++)
        {
            cache.Read(i % options.Files);
        }

        var threads = new List<Kthread>();
        for (int i = 0; i < options.Readers; i++)
        {
            int reader = i;
            threads.Add(Kthread.Start($"reader-{i + 1}", () => Read(cache, reader)));
        }

        for (int i = 0; i < options.Writers; i++)
        {
            int writer = i;
            threads.Add(Kthread.Start($"writer-{i + 1}", () => Write(pool, writer)));
        }

        foreach (Kthread t in threads)
        {
            t.Join();
        }

        cache.Stop();
        pool.Engine.Stop();
        KmemStats stats = KmemStats.Snapshot();
        string? leaks = KmemSystem.Current.DescribeLeaks();
        KmemSystem.Shutdown();
        return leaks is null ? stats : throw new InvalidOperationException("leaked: " + leaks);
    }

    private void Read(MiniZnodeCache cache, int reader)
    {
        for (int i = 0; i < options.ReadsEach; i++)
        {
            using FstransCookie mark = Fstrans.MarkEntry();
            cache.Read((options.Warmup + (i * options.Readers) + reader) % options.Files);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)] // A stack in a report shall name it.
    private void Write(MiniPool pool, int writer)
    {
        var file = new MiniZnode(1000 + writer);
        for (int i = 0; i < options.WritesEach; i++)
        {
            using FstransCookie mark = Fstrans.MarkEntry();
            byte* data = KmemAllocator.VmemAlloc(options.RecordBytes, KmFlags.Sleep);
            DmuTx tx = DmuTx.Create(pool.Engine);
            tx.Hold(file);
            tx.HoldSpace(options.RecordBytes + (IndirectsEach * IndirectBytes));
            int error = tx.Assign(TxAssign.Wait);
            if (error != 0)
            {
                throw new InvalidOperationException($"write: errno {error}");
            }

            pool.Dirty(tx, data, options.RecordBytes);
            for (int k = 0; k < IndirectsEach; k++)
            {
                byte* indirect = KmemAllocator.Alloc(IndirectBytes, tx.AllocFlags);
                pool.Dirty(tx, indirect, IndirectBytes);
            }

            tx.Commit();
            Katomic.Increment(ref Counters.Writes);
        }
    }
}
