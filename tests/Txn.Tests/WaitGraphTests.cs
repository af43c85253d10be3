using System.Text.Json;
using System.Xml.Linq;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

public sealed class WaitGraphTests
{
    private const long SettleNs = 20_000_000;

    [Fact]
    public void Threads_that_wait_for_each_other_are_a_proven_cycle() => World.Run(() =>
    {
        var onB = new PlantedWait("lock B", (Kthread?)null);
        var onA = new PlantedWait("lock A", (Kthread?)null);
        Kthread a = Kthread.Start("thread-a", onB.Wait);
        Kthread b = Kthread.Start("thread-b", onA.Wait);
        onA.Owners[0] = a;
        onB.Owners[0] = b;
        var behind = new PlantedWait("the victim's turn", a);
        Kthread victim = Kthread.Start("victim", behind.Wait);
        World.Until(() => a.WaitingFor == onB && b.WaitingFor == onA && victim.WaitingFor == behind, "all blocked");
        DeadlockReport? report = WaitGraph.Prove(SettleNs);
        Assert.NotNull(report);
        WaitCycle cycle = Assert.Single(report.Cycles);
        Assert.Equal([a.Id, b.Id], cycle.Threads.Select(n => n.Id).Order());
        Assert.Equal([victim.Id], report.Victims.Select(n => n.Id));
        string text = report.ToText();
        Assert.Contains("thread-a", text, StringComparison.Ordinal);
        Assert.Contains("lock A", text, StringComparison.Ordinal);
        Assert.Contains("the victim's turn", text, StringComparison.Ordinal);
        XDocument svg = XDocument.Parse(report.ToSvg());
        Assert.Equal("svg", svg.Root!.Name.LocalName);
        Assert.Equal(2, svg.Descendants().Count(e => (string?)e.Attribute("class") == "cedge"));
        using JsonDocument json = JsonDocument.Parse(report.ToJson());
        Assert.Equal(2, json.RootElement.GetProperty("cycles")[0].GetArrayLength());
        onA.End();
        onB.End();
        behind.End();
        a.Join();
        b.Join();
        victim.Join();
        Assert.Null(WaitGraph.Prove(SettleNs));
    });

    [Fact]
    public void A_chain_that_ends_in_a_running_thread_is_no_cycle() => World.Run(() =>
    {
        var onMain = new PlantedWait("main's turn", Kthread.Current);
        Kthread first = Kthread.Start("first", onMain.Wait);
        var onFirst = new PlantedWait("first's turn", first);
        Kthread second = Kthread.Start("second", onFirst.Wait);
        World.Until(() => first.WaitingFor == onMain && second.WaitingFor == onFirst, "both blocked");
        WaitGraph graph = WaitGraph.Capture();
        Assert.Equal(2, graph.Edges.Count(e => e.From.Id == first.Id || e.From.Id == second.Id));
        Assert.Empty(graph.FindCycles());
        onMain.End();
        onFirst.End();
        first.Join();
        second.Join();
    });

    [Fact]
    public void A_cycle_whose_threads_move_on_between_the_captures_is_not_proven() => World.Run(() =>
    {
        var a = new PlantedWait("a passing state", (Kthread?)null);
        Kthread thread = Kthread.Start("passing", () =>
        {
            a.Wait();
            a.Wait();
        });
        a.Owners[0] = thread;
        World.Until(() => thread.WaitingFor == a, "blocked");
        Assert.Single(WaitGraph.Capture().FindCycles());
        Kthread mover = Kthread.Start("mover", () =>
        {
            Kthread.Sleep(SettleNs / 4);
            a.End();
        });
        Assert.Null(WaitGraph.Prove(SettleNs * 4));
        mover.Join();
        thread.Join();
    });

    [Fact]
    public void A_young_cycle_is_left_alone_until_it_has_the_age_asked_for() => World.Run(() =>
    {
        var a = new PlantedWait("itself", (Kthread?)null);
        Kthread thread = Kthread.Start("self", a.Wait);
        a.Owners[0] = thread;
        World.Until(() => thread.WaitingFor == a, "blocked");
        Assert.Null(WaitGraph.Prove(SettleNs, minAgeNs: 10_000_000_000));
        Assert.NotNull(WaitGraph.Prove(SettleNs, minAgeNs: 1));
        a.End();
        thread.Join();
    });

    [Fact]
    public void The_recursive_transaction_is_a_thread_that_waits_for_itself() => World.Engine(
        (engine, host) =>
        {
            Kthread writer = Kthread.Start("writer", () =>
            {
                DmuTx outer = DmuTx.Create(engine);
                Assert.Equal(0, outer.Assign(TxAssign.Wait));
                engine.DirtySpace(engine.DirtyMaxBytes, outer.Txg);
                DmuTx inner = DmuTx.Create(engine);
                Assert.Equal(0, inner.Assign(TxAssign.Wait));
                inner.Commit();
                outer.Commit();
            });
            World.Until(() => World.IsWaiting(writer, "dirty space"), "writer waits for dirty space");
            Kthread other = Kthread.Start("other", () =>
            {
                DmuTx tx = DmuTx.Create(engine);
                Assert.Equal(0, tx.Assign(TxAssign.Wait));
                tx.Commit();
            });
            Kthread syncer = Kthread.Start("syncer", () => engine.WaitSynced(0));
            World.Until(() => World.IsWaiting(other, "dirty space") && World.IsWaiting(syncer, "to sync") && engine.OpenTxg == 5, "others wait");
            DeadlockReport? report = WaitGraph.Prove(SettleNs);
            Assert.NotNull(report);
            WaitEdge edge = Assert.Single(Assert.Single(report.Cycles).Edges);
            Assert.Equal(writer.Id, edge.From.Id);
            Assert.Equal(writer.Id, edge.To.Id);
            Assert.Contains("dirty space", edge.What, StringComparison.Ordinal);
            Assert.Equal([4ul], edge.From.HeldTxgs);
            Assert.Equal(["other", "syncer", "txg_quiesce", "txg_sync"], report.Victims.Select(v => v.Name).Order());
            Assert.Contains("a transaction in txg 4", report.ToText(), StringComparison.Ordinal);

            // The way out that a real writer does not have.
            engine.UndirtySpace(engine.DirtyMaxBytes, 4);
            writer.Join();
            other.Join();
            syncer.Join();
        },
        policy: KmemPolicy.None);

    [Fact]
    public void Waiting_for_a_slow_sync_is_no_cycle() => World.Engine((engine, host) =>
    {
        int release = 0;
        host.OnSync = _ => World.Until(() => Katomic.Load(ref release) != 0, "release");
        DmuTx tx = DmuTx.Create(engine);
        Assert.Equal(0, tx.Assign(TxAssign.Wait));
        engine.DirtySpace(engine.DirtyMaxBytes, tx.Txg);
        tx.Commit();
        Kthread writer = Kthread.Start("writer", () =>
        {
            DmuTx next = DmuTx.Create(engine);
            Assert.Equal(0, next.Assign(TxAssign.Wait));
            next.Commit();
        });
        Kthread syncer = Kthread.Start("syncer", () => engine.WaitSynced(0));
        World.Until(() => World.IsWaiting(writer, "dirty space") && World.IsWaiting(syncer, "to sync"), "both wait");
        Assert.Null(WaitGraph.Prove(SettleNs));
        Katomic.Store(ref release, 1);
        writer.Join();
        syncer.Join();
    });
}
