using Xunit;
using ZfsLite.Kmem;
using ZfsLite.Lab;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Txn;

/// <summary>Each policy loses somewhere, and the next one wins there: the laboratory's races, in the order of history.</summary>
public class RaceTests
{
    [SimTheory]
    [InlineData(KmemPolicy.PushPage, true, 20)]
    [InlineData(KmemPolicy.Emergency, false, 20)]
    public void A_writer_waits_for_the_growth_that_a_reader_began_and_the_worker_for_the_writers_txg(KmemPolicy policy, bool mapped, int runs)
    {
        RaceResult result = RaceRunner.Search(new RaceOptions { Policy = policy, Mapped = mapped }, runs, out _);
        Assert.NotNull(result.Deadlock);
        string text = result.Deadlock.ToText();
        Assert.Contains("growth of cache", text, StringComparison.Ordinal);
        Assert.Contains(result.Deadlock.Cycles[0].Threads, static n => n.Name.StartsWith("spl_kmem_cache", StringComparison.Ordinal));
        Assert.Contains(result.Deadlock.Cycles[0].Threads, static n => n.HeldTxgs.Count > 0);

        // A seed says all.
        RaceResult again = RaceRunner.Run(result.Options);
        Assert.Equal(result.TimeNs, again.TimeNs);
        Assert.NotNull(again.Deadlock);
    }

    [SimTheory]
    [InlineData(KmemPolicy.Emergency, true)]
    [InlineData(KmemPolicy.TxCookie, false)]
    [InlineData(KmemPolicy.Fstrans, true)]
    [InlineData(KmemPolicy.Fstrans, false)]
    public void Under_the_next_policy_no_growth_is_part_of_a_deadlock(KmemPolicy policy, bool mapped)
    {
        for (ulong seed = 1; seed <= 20; seed++)
        {
            // What the policies before fstrans lose elsewhere (page tables that ignore flags, in the sync thread) is not the question here.
            RaceResult result = RaceRunner.Run(new RaceOptions { Policy = policy, Mapped = mapped, Seed = seed });
            bool grows = result.Deadlock?.Cycles.Any(static c => c.Edges.Any(static e => e.What.Contains("growth", StringComparison.Ordinal))) ?? false;
            Assert.False(grows, $"seed {seed}: {result.Deadlock?.ToText()}");
            Assert.True(result.Completed || policy != KmemPolicy.Fstrans, $"seed {seed}: {result.Failure ?? result.Deadlock?.ToText()}");
        }
    }

    [SimFact]
    public void Emergency_objects_are_what_gets_through()
    {
        long most = 0;
        for (ulong seed = 1; seed <= 40 && most == 0; seed++)
        {
            most = RaceRunner.Run(new RaceOptions { Policy = KmemPolicy.Emergency, Seed = seed }).Cache?.EmergencyMax ?? 0;
        }

        Assert.True(most > 0);
    }

    [SimFact]
    public void A_mark_that_comes_with_the_transaction_does_not_cover_who_holds_a_lock_without_one()
    {
        RaceResult result = RaceRunner.Search(new RaceOptions { Scenario = "held-lock", Policy = KmemPolicy.TxCookie }, 100, out _);
        Assert.NotNull(result.Deadlock);
        Assert.Contains("z_lock", result.Deadlock.ToText(), StringComparison.Ordinal);
        RaceResult marked = RaceRunner.Search(new RaceOptions { Scenario = "held-lock" }, 60, out int tried);
        Assert.True(marked.Completed, $"run {tried}: {marked.Failure ?? marked.Deadlock?.ToText()}");
    }

    [SimFact]
    public void Nor_does_a_mark_give_memory_to_who_is_waited_for_and_does_not_ask_for_the_reserve()
    {
        RaceResult result = RaceRunner.Search(new RaceOptions { Scenario = "held-lock", Reserve = false }, 40, out _);
        Assert.False(result.Completed);
        Assert.Null(result.Deadlock);
        Assert.Contains("out of memory", result.Failure, StringComparison.Ordinal);
    }
}
