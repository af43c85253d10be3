namespace ZfsLite.Kmem.Spl;

/// <summary>Random numbers. In the simulator they come from the seed.</summary>
public static class Krandom
{
    /// <summary>64 random bits.</summary>
    public static ulong NextUInt64() => SplPlatform.IsSimulated ? SimBackend.NextRandom() : (ulong)Random.Shared.NextInt64(long.MinValue, long.MaxValue);

    /// <summary>A number from 0 up to, not including, <paramref name="bound"/> (at least 1).</summary>
    public static int Next(int bound) => (int)(NextUInt64() % (uint)bound);
}
