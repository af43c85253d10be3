using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

/// <summary>Runs a test body with a small arena; a body that hangs fails with the wait-for graph.</summary>
internal static class World
{
    private const long LimitNs = 60_000_000_000;

    /// <summary>Runs the body; on the simulator once per seed.</summary>
    public static void Run(Action body, KmemPolicy policy = KmemPolicy.Fstrans, int seeds = 5)
    {
        if (!SplPlatform.IsSimulated)
        {
            RunOs(body, policy);
            return;
        }

        for (ulong seed = 1; seed <= (ulong)seeds; seed++)
        {
            SimResult result = RunSim(body, policy, new SimOptions { Seed = seed, MaxSteps = 20_000_000 });
            Assert.True(result.Outcome == SimOutcome.Completed, result.ToString());
        }
    }

    /// <summary>One run of the body, under a given schedule if this is the simulator.</summary>
    public static void RunSeed(Action body, ulong seed)
    {
        if (!SplPlatform.IsSimulated)
        {
            RunOs(body, KmemPolicy.Fstrans);
            return;
        }

        SimResult result = RunSim(body, KmemPolicy.Fstrans, new SimOptions { Seed = seed, MaxSteps = 20_000_000 });
        Assert.True(result.Outcome == SimOutcome.Completed, result.ToString());
    }

    /// <summary>One simulated run of the body.</summary>
    public static SimResult RunSim(Action body, KmemPolicy policy, SimOptions options) => SimWorld.Run(options, () =>
    {
        KmemSystem.Init(new KmemOptions { ArenaBytes = 16 << 20, Policy = policy, LockArena = false });
        body();
        KmemSystem.Shutdown();
    });

    /// <summary>Runs the body with a started engine, and stops the engine after it.</summary>
    public static void Engine(Action<TxgEngine, FakeHost> body, TxgOptions? options = null, KmemPolicy policy = KmemPolicy.Fstrans) => Run(
        () =>
        {
            var host = new FakeHost();
            var engine = new TxgEngine(host, options ?? new TxgOptions { DirtyMaxBytes = 1_000_000 });
            engine.Start();
            body(engine, host);
            engine.Stop();
            Assert.Equal(0, engine.DirtyBytes);
            Assert.Equal(0, host.Promised);
            Assert.Equal(0, engine.Stats.ExcessUndirtyBytes);
        },
        policy);

    /// <summary>Waits until a condition holds; fails after 20 s.</summary>
    public static void Until(Func<bool> condition, string what)
    {
        long deadline = Kclock.NowNs + 20_000_000_000;
        while (!condition())
        {
            Assert.True(Kclock.NowNs < deadline, "never happened: " + what);
            Kthread.Sleep(1_000_000);
        }
    }

    /// <summary>True once the thread is blocked on something whose name contains the text.</summary>
    public static bool IsWaiting(Kthread thread, string text) =>
        thread.WaitingFor?.WaitName.Contains(text, StringComparison.Ordinal) == true;

    private static void RunOs(Action body, KmemPolicy policy)
    {
        KmemSystem.Init(new KmemOptions { ArenaBytes = 16 << 20, Policy = policy, LockArena = false });
        try
        {
            Exception? failure = null;
            int done = 0;
            Kthread.UnhandledException = (thread, e) =>
            {
                failure ??= new InvalidOperationException($"in {thread}: {e.Message}", e);
                Katomic.Store(ref done, 1);
            };
            Kthread.Start("test", () =>
            {
                try
                {
                    body();
                }
#pragma warning disable CA1031 // Carried to the test's own thread.
                catch (Exception e)
                {
                    failure ??= e;
                }
#pragma warning restore CA1031
                Katomic.Store(ref done, 1);
            });
            long deadline = Kclock.NowNs + LimitNs;
            while (Katomic.Load(ref done) == 0)
            {
                Assert.True(Kclock.NowNs < deadline, "the test hangs");
                Kthread.Sleep(1_000_000);
            }

            if (failure is not null)
            {
                throw new InvalidOperationException("test body failed: " + failure.Message, failure);
            }
        }
        finally
        {
            KmemSystem.Shutdown();
        }
    }
}
