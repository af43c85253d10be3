using ZfsLite.Kmem;

namespace ZfsLite.TestKit;

/// <summary>One memory system for all tests of a process that only need memory, not a fresh arena.</summary>
public static class TestKmem
{
    private static readonly object s_lock = new();
    private static KmemSystem? s_mine;

    /// <summary>Makes it at the first call; later calls find it (or whatever a test has put in its place).</summary>
    public static void Ensure()
    {
        lock (s_lock)
        {
            s_mine ??= KmemSystem.Init(new KmemOptions { ArenaBytes = 256 << 20 });
        }
    }
}
