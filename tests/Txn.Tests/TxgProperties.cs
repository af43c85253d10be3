using FsCheck;
using FsCheck.Fluent;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

/// <summary>What must hold for every number of threads and every order of things.</summary>
public sealed class TxgProperties
{
    private static readonly int s_cases = SplPlatform.IsSimulated ? 60 : 15;

    private static Arbitrary<Plan> Plans => (
        from writers in Gen.Choose(1, 8)
        from operations in Gen.Choose(1, 25)
        from dnodes in Gen.Choose(1, 6)
        from dirty in Gen.Elements(0, 1_000, 40_000, 300_000)
        from seed in Gen.Choose(1, int.MaxValue)
        select new Plan(writers, operations, dnodes, dirty, (ulong)seed)).ToArbitrary();

    [Fact]
    public void Txgs_are_written_whole_in_order_and_after_their_last_holder() =>
        Prop.ForAll(Plans, Execute).Check(Config.QuickThrowOnFailure.WithMaxTest(s_cases));

    private static void Execute(Plan plan) => World.RunSeed(() => new Execution(plan).Run(), plan.Seed);

    private sealed record Plan(int Writers, int Operations, int Dnodes, int Dirty, ulong Seed);

    private sealed class Execution(Plan plan)
    {
        private const int Slots = 4096;

        private readonly int[] _live = new int[Slots];
        private readonly int[] _committed = new int[Slots];
        private readonly int[] _seenBySync = new int[Slots];
        private readonly FakeDnode[] _dnodes = [.. Enumerable.Range(1, plan.Dnodes).Select(static n => new FakeDnode(n))];
        private readonly long[] _lastTxg = new long[plan.Dnodes];
        private readonly FakeHost _host = new();
        private TxgEngine _engine = null!;

        internal void Run()
        {
            _engine = new TxgEngine(_host, new TxgOptions { DirtyMaxBytes = 1_000_000, TimeoutNs = 3_000_000 });
            _host.OnSync = OnSync;
            _engine.Start();
            Kthread[] threads = [.. Enumerable.Range(0, plan.Writers).Select(i => Kthread.Start($"writer-{i}", () => Work(i)))];
            foreach (Kthread t in threads)
            {
                t.Join();
            }

            _engine.Stop();
            ulong[] synced = _host.Synced;
            Assert.Equal(Enumerable.Range(4, synced.Length).Select(static n => (ulong)n), synced);
            Assert.Equal(_engine.SyncedTxg, synced[^1]);
            Assert.Equal(plan.Writers * plan.Operations, _committed.Sum());
            Assert.Equal(_committed, _seenBySync);
            Assert.All(_dnodes, static d => Assert.Equal(0, d.TxHoldCount));
            Assert.Equal(0, _engine.DirtyBytes);
            Assert.Equal(0, _engine.Stats.ExcessUndirtyBytes);
        }

        private void OnSync(ulong txg)
        {
            Assert.Equal(_engine.SyncedTxg + 1, txg);
            Assert.True(_engine.OpenTxg > txg);
            Assert.Equal(0, Katomic.Load(ref _live[txg]));
            Katomic.Store(ref _seenBySync[txg], Katomic.Load(ref _committed[txg]));
            Kthread.Sleep(200_000);
            Assert.Equal(0, Katomic.Load(ref _live[txg]));
        }

        private void Work(int number)
        {
            var random = new Random((int)(plan.Seed % int.MaxValue) + number);
            for (int i = 0; i < plan.Operations; i++)
            {
                ulong txg = Transaction(random);
                switch (random.Next(12))
                {
                    case 0:
                        _engine.WaitSynced(txg);
                        Assert.True(_engine.SyncedTxg >= txg);
                        Assert.Contains(txg, _host.Synced);
                        break;
                    case 1:
                        _engine.WaitOpen(0);
                        break;
                    case 2:
                        _engine.Kick();
                        break;
                    case 3:
                        Kthread.Sleep(random.Next(2_000_000));
                        break;
                    default:
                        break;
                }
            }
        }

        private ulong Transaction(Random random)
        {
            DmuTx tx = DmuTx.Create(_engine);
            int first = random.Next(plan.Dnodes);
            int second = random.Next(plan.Dnodes);
            tx.Hold(_dnodes[first]);
            tx.Hold(_dnodes[second]);
            tx.HoldSpace(100);
            if (random.Next(2) == 0)
            {
                Assert.Equal(0, tx.Assign(TxAssign.Wait));
            }
            else
            {
                while (tx.Assign(TxAssign.NoWait) == 85)
                {
                    tx.Wait();
                }
            }

            ulong txg = tx.Txg;
            Katomic.Increment(ref _live[txg]);
            Change(first, (long)txg);
            _engine.DirtySpace(random.Next(plan.Dirty + 1), txg);
            if (random.Next(4) == 0)
            {
                Kthread.Sleep(random.Next(300_000));
            }

            Change(second, (long)txg);
            Katomic.Increment(ref _committed[txg]);
            Katomic.Decrement(ref _live[txg]);
            tx.Commit();
            return txg;
        }

        /// <summary>Changes of an object never go back in txgs.</summary>
        private void Change(int dnode, long txg)
        {
            long last = Katomic.Exchange(ref _lastTxg[dnode], txg);
            Assert.True(last <= txg, $"dnode {dnode} changed in txg {txg} after txg {last}");
        }
    }
}
