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
    public void The_next_policy_gets_through_the_same_schedules(KmemPolicy policy, bool mapped)
    {
        RaceResult result = RaceRunner.Search(new RaceOptions { Policy = policy, Mapped = mapped }, 20, out int tried);
        Assert.True(result.Completed, $"run {tried}: {result.Failure ?? result.Deadlock?.ToText()}");
    }

    [SimFact]
    public void Emergency_objects_are_what_gets_through()
    {
        long most = 0;
        for (ulong seed = 1; seed <= 20 && most == 0; seed++)
        {
            most = RaceRunner.Run(new RaceOptions { Policy = KmemPolicy.Emergency, Seed = seed }).Cache!.EmergencyMax;
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
}
