using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem.Tests;

public sealed unsafe class TortureTests
{
    [Theory]
    [InlineData(KmemPolicy.Fstrans, false, KmFlags.Sleep, 20, true)]
    [InlineData(KmemPolicy.Fstrans, true, KmFlags.Sleep, 0, false)]
    [InlineData(KmemPolicy.Fstrans, false, KmFlags.NoSleep, 0, false)]
    [InlineData(KmemPolicy.TxCookie, true, KmFlags.Sleep, 0, false)]
    [InlineData(KmemPolicy.None, true, KmFlags.Sleep, 20, true)]
    [InlineData(KmemPolicy.None, false, KmFlags.PushPage, 20, false)]
    public void One_in_N_unmarked_sleeping_allocations_runs_the_shrinkers_with_its_own_mask(
        KmemPolicy policy, bool marked, KmFlags flags, int runs, bool mayEnterFs) => KmemWorld.Run(
        system =>
        {
            var hoard = new PageHoard();
            for (int i = 0; i < 1000; i++)
            {
                hoard.Take(system);
            }

            Shrinkers.Register(hoard);
            ThreadFlags saved = Kthread.Current.Flags;
            Kthread.Current.Flags |= marked ? ThreadFlags.Fstrans : 0;
            KmemCache cache = KmemCache.Create("tortured", 64);
            for (int i = 0; i < 50; i++)
            {
                KmemAllocator.Free(KmemAllocator.Alloc(64, flags), 64);
                KmemAllocator.Free(KmemAllocator.Alloc(9000, flags), 9000);
                KmemAllocator.VmemFree(KmemAllocator.VmemAlloc(64, flags), 64);
                cache.Free(cache.Alloc(flags));
            }

            Kthread.Current.Flags = saved;
            KmemStats stats = KmemStats.Snapshot();
            Assert.Equal(runs, stats.TortureRuns);
            Assert.Equal(marked && policy != KmemPolicy.None ? 20 : 0, stats.TurnedAway);
            Assert.Equal(runs, hoard.Calls.Count);
            Assert.Equal(runs * 16, stats.Shrinkers.Single(s => s.Name == hoard.Name).Freed);
            Assert.All(hoard.Calls, c => Assert.Equal(mayEnterFs, c.Control.MayEnterFs));
            cache.Destroy();
            Shrinkers.Unregister(hoard);
            hoard.Drop(system);
        },
        KmemWorld.Options(policy, torture: 10));

    [Fact]
    public void The_shrinkers_own_allocations_are_not_tortured() => KmemWorld.Run(
        static system =>
        {
            int depth = 0;
            var hoard = new PageHoard
            {
                OnScan = (_, _) =>
                {
                    Assert.Equal(1, ++depth);
                    KmemAllocator.Free(KmemAllocator.Alloc(64, KmFlags.Sleep), 64);
                    depth--;
                },
            };
            for (int i = 0; i < 100; i++)
            {
                hoard.Take(system);
            }

            Shrinkers.Register(hoard);
            KmemAllocator.Free(KmemAllocator.Alloc(64, KmFlags.Sleep), 64);
            Assert.Single(hoard.Calls);
            Shrinkers.Unregister(hoard);
            hoard.Drop(system);
        },
        KmemWorld.Options(torture: 1));
}
