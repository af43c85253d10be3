using Xunit;
using ZfsLite.Fs;
using ZfsLite.TestKit;
using ZfsLite.Txn;

namespace Fs.Tests.Dmu;

/// <summary>The managed objects beside the arena are counted at no less than their size, and their number is bounded.</summary>
public sealed class ManagedSizeTests
{
    [Fact]
    public void AnObjectIsCountedAtNoLessThanItsSize()
    {
        Assert.InRange(SizeOf(static () => new Dbuf()), 1, Arc.DbufCharge);
        Assert.InRange(SizeOf(static () => new Dnode()), 1, Dnode.ManagedBytes);
        Assert.InRange(SizeOf(static () => new Znode()), 1, ZnodeCache.ManagedBytes);
        Assert.InRange(SizeOf(static () => new Dnode()) + SizeOf(static () => new DnodeChange()), 1, Dnode.ManagedBytes);
    }

    [OsFact]
    public unsafe void ManySmallFilesInALargeArenaTakeBoundedManagedMemory() => Backends.Run(() =>
    {
        using var memory = new KmemScope(64 << 20) { Failed = true };
        Spa spa = TestPool.Open(TestPool.Format());
        spa.Arc.ManagedMaxBytes = 4 << 20;
        Objset os = spa.OpenObjset("tank");
        byte* data = stackalloc byte[512];
        new Span<byte>(data, 512).Fill(7);
        long most = 0;
        for (int i = 0; i < 12_000; i++)
        {
            DmuTx tx = DmuTx.Create(spa.Txg);
            tx.HoldNewObject(os, 512);
            Assert.Equal(0, tx.Assign(TxAssign.Wait));
            Dnode dn = os.AllocateObject(DmuOt.PlainOther, 512, DmuOt.Uint64Other, 8, tx);
            dn.Write(0, 512, data, tx);
            tx.Commit();
            dn.Release();
            if (i % 1000 == 999)
            {
                Assert.Equal(0, spa.Sync());
                most = Math.Max(most, spa.Arc.ManagedBytes);
            }
        }

        // What one txg dirties cannot be evicted.
        Assert.InRange(most, 1 << 20, (4 << 20) + (2 << 20));
        spa.CloseObjset(os);
        spa.Close();
        Assert.Equal(0, spa.Arc.ManagedBytes);
        memory.Failed = false;
    });

    private static long SizeOf(Func<object> make)
    {
        _ = make();
        long before = GC.GetAllocatedBytesForCurrentThread();
        object[] keep = [make(), make(), make(), make()];
        long after = GC.GetAllocatedBytesForCurrentThread();
        GC.KeepAlive(keep);
        return (after - before - 56) / 4;
    }
}
