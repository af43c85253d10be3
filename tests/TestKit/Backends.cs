using System.Runtime.ExceptionServices;
using System.Text;
using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.TestKit;

/// <summary>
/// Runs one test body on the back end of the process: once, in a thread of its own, on the operating system; under many seeds
/// on the simulator (ZFSLITE_SPL=sim). A body that hangs fails with a list of who waits for what; a thread that throws fails
/// the test; so does a new lock-order violation.
/// </summary>
public static class Backends
{
    /// <summary>True when this process runs on the simulator.</summary>
    public static bool IsSim => SplPlatform.IsSimulated;

    /// <summary>Runs a body that must complete.</summary>
    /// <param name="body">The body; it makes its own world and leaves no thread behind.</param>
    /// <param name="seeds">Simulator: how many schedules to try, half of them by each strategy.</param>
    /// <param name="options">Simulator: other options; its seed is the first one.</param>
    /// <param name="osRounds">Operating system: how often.</param>
    /// <param name="timeoutMs">Operating system: after how long a round counts as hung.</param>
    public static void Run(Action body, int seeds = 40, SimOptions? options = null, int osRounds = 1, int timeoutMs = 60_000)
    {
        int violations = LockOrder.Violations.Count;
        if (IsSim)
        {
            SimResult? bad = Find(body, static r => r.Outcome != SimOutcome.Completed || r.Leftover.Count > 0, seeds, options);
            if (bad is not null)
            {
                Assert.Fail($"{bad}\nleft over: {string.Join(", ", bad.Leftover)}");
            }
        }
        else
        {
            for (int i = 0; i < osRounds; i++)
            {
                RunOs(body, timeoutMs);
            }
        }

        IReadOnlyList<LockOrderViolation> all = LockOrder.Violations;
        Assert.True(all.Count <= violations, all.Count <= violations ? string.Empty : all[^1].Text);
    }

    /// <summary>Simulator: tries seeds, the strategies in turn, until a run is what is looked for; null if none is.</summary>
    public static SimResult? Find(Action body, Func<SimResult, bool> wanted, int seeds, SimOptions? options = null)
    {
        SimOptions first = options ?? new SimOptions();
        for (int i = 0; i < seeds; i++)
        {
            SimResult result = SimWorld.Run(Nth(first, i), body);
            if (wanted(result))
            {
                return result;
            }
        }

        return null;
    }

    /// <summary>The options of the i-th run of <see cref="Find"/>.</summary>
    public static SimOptions Nth(SimOptions first, int i) => first with
    {
        Seed = first.Seed + (ulong)i,
        Strategy = i % 2 == 0 ? SimStrategy.Random : SimStrategy.Pct,
        PctHorizon = i % 4 == 1 ? 50 : first.PctHorizon,
    };

    /// <summary>Starts threads and waits for all of them. For use inside a body.</summary>
    public static void Parallel(int count, Action<int> body)
    {
        var threads = new Kthread[count];
        for (int i = 0; i < count; i++)
        {
            int n = i;
            threads[i] = Kthread.Start($"t{n}", () => body(n));
        }

        foreach (Kthread t in threads)
        {
            t.Join();
        }
    }

    /// <summary>Who waits for what now, with held locks and recorded stacks.</summary>
    public static string DescribeWaits()
    {
        var text = new StringBuilder();
        foreach (Kthread t in Kthread.All())
        {
            if (t.WaitingFor is { } what)
            {
                var owners = new List<Kthread>();
                what.CollectOwners(owners);
                text.AppendLine($"{t} waits for {what.WaitName} (owners {string.Join(", ", owners)}), holds {string.Join(", ", t.HeldLocks().Select(l => l.WaitName))}");
                text.AppendLine(t.WaitStack);
            }
        }

        return text.ToString();
    }

    private static void RunOs(Action body, int timeoutMs)
    {
        Exception? failure = null;
        Action<Kthread, Exception>? before = Kthread.UnhandledException;
        Kthread.UnhandledException = (thread, e) =>
        {
            Console.Error.WriteLine($"thread {thread}: {e}");
            Interlocked.CompareExchange(ref failure, e, null);
        };
        try
        {
            using var ended = new ManualResetEventSlim();
            Kthread.Start("test", () =>
            {
                try
                {
                    body();
                }
                catch (Exception e)
                {
                    Interlocked.CompareExchange(ref failure, e, null);
                }

                ended.Set();
            });
            for (int waited = 0; !ended.Wait(100) && Volatile.Read(ref failure) is null; waited += 100)
            {
                if (waited > timeoutMs)
                {
                    Assert.Fail($"hung for {timeoutMs} ms\n{DescribeWaits()}");
                }
            }

            if (Volatile.Read(ref failure) is { } e)
            {
                ExceptionDispatchInfo.Throw(e);
            }
        }
        finally
        {
            Kthread.UnhandledException = before;
        }
    }
}
