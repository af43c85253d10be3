using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Kmem.Tests;

/// <summary>Runs a test body with an arena of its own, on the back end of this process; at its end nothing may be left allocated.</summary>
internal static class KmemWorld
{
    internal const int MiB = 1 << 20;

    internal static KmemOptions Options(
        KmemPolicy policy = KmemPolicy.Fstrans,
        long arena = 16 * MiB,
        bool poison = false,
        int torture = 0,
        long oomNs = 20_000_000_000,
        Action<string>? warn = null,
        int nodes = 1,
        bool merge = false,
        SlabEngineKind? engine = null,
        SplEngineOptions? spl = null) =>
        new()
        {
            ArenaBytes = arena,
            Policy = policy,
            Poison = poison,
            TortureReclaim = torture,
            OomTimeoutNs = oomNs,
            Warn = warn,
            LockArena = false,
            MergeCaches = merge,
            Nodes = nodes,
            SlabEngine = engine ?? new KmemOptions().SlabEngine,
            Spl = spl ?? new SplEngineOptions(),
        };

    internal static void Run(Action<KmemSystem> body, KmemOptions? options = null, bool checkLeaks = true, ulong seed = 1)
    {
        void Body()
        {
            KmemSystem system = KmemSystem.Init(options ?? Options());
            bool ended = false;
            try
            {
                body(system);
                ended = true;
            }
            finally
            {
                string? leaks = ended && checkLeaks ? system.DescribeLeaks() : null;
                KmemSystem.Shutdown();
                Assert.Null(leaks);
            }
        }

        if (!SplPlatform.IsSimulated)
        {
            Body();
            return;
        }

        SimResult result = SimWorld.Run(new SimOptions { Seed = seed, MaxSteps = 200_000_000 }, Body);
        if (result.Outcome != SimOutcome.Completed)
        {
            throw new InvalidOperationException(result.ToString(), result.Failure);
        }
    }

    /// <summary>Runs a body in several threads at once and waits for all; the first failure is thrown.</summary>
    internal static void Parallel(int threads, Action<int> body)
    {
        Exception? failure = null;
        var all = new Kthread[threads];
        for (int i = 0; i < threads; i++)
        {
            int me = i;
            all[i] = Kthread.Start($"worker{me}", () =>
            {
                try
                {
                    body(me);
                }
                catch (Exception e) when (e is not SimAbortException)
                {
                    failure ??= e;
                }
            });
        }

        foreach (Kthread t in all)
        {
            t.Join();
        }

        if (failure is not null)
        {
            throw new InvalidOperationException(failure.Message, failure);
        }
    }

    internal static void Until(Func<bool> condition, string what)
    {
        long deadline = Kclock.NowNs + 20_000_000_000;
        while (!condition())
        {
            Assert.True(Kclock.NowNs < deadline, "never happened: " + what);
            Kthread.Sleep(1_000_000);
        }
    }
}
