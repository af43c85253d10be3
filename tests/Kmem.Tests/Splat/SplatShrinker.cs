using Xunit;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Kmem.Tests;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Splat;

/// <summary>splat linux, 0x1001.</summary>
public class SplatShrinker
{
    private const int Objects = 1024;
    private const int CallsMax = 100;
    private const long Ms = 1_000_000;

    /// <summary>
    /// A registered shrinker with 1,024 objects, which are only a number, is asked until it has none, within 1 s and 100 calls,
    /// when all caches are dropped (as "echo 2 > drop_caches" does: every shrinker at full pressure, until hardly anything
    /// goes); once unregistered it isn't asked any more. Arena: 16 MiB.
    /// </summary>
    [Fact]
    public void T1001_shrinker() => KmemWorld.Run(static system =>
    {
        var cache = new FakeCache();
        Shrinkers.Register(cache);
        long start = Kclock.NowNs;
        Drop(system);
        Assert.Equal(0, cache.Size);
        Assert.InRange(cache.Calls, 1, CallsMax);
        Assert.InRange(Kclock.NowNs - start, 0, Backends.IsSim ? 1000 * Ms : 30_000 * Ms);

        Shrinkers.Unregister(cache);
        int calls = cache.Calls;
        cache.Size = Objects;
        Drop(system);
        Assert.Equal(calls, cache.Calls);
        Assert.Equal(Objects, cache.Size);
    });

    private static void Drop(KmemSystem system)
    {
        var control = new ShrinkControl(true, false);
        while (system.Shrinkers.Shrink(control, 0) > 10)
        {
        }
    }

    private sealed class FakeCache : IShrinker
    {
        public string Name => "splat";

        internal long Size { get; set; } = Objects;

        internal int Calls { get; private set; }

        public long Count(in ShrinkControl control)
        {
            Calls++;
            return Size;
        }

        public long Scan(in ShrinkControl control, long toScan)
        {
            Calls++;
            Assert.InRange(Calls, 1, 10 * CallsMax);
            long freed = Math.Min(toScan, Size);
            Size -= freed;
            return freed;
        }
    }
}
