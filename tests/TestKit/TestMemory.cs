using ZfsLite.Kmem;

namespace ZfsLite.TestKit;

/// <summary>The arena of a test process: set up at first use, kept until the process ends.</summary>
public static class TestMemory
{
    private static readonly Lazy<KmemSystem> s_system = new(() => KmemSystem.Init(new KmemOptions()));

    /// <summary>Sets the arena up, unless a test did so already.</summary>
    public static void Ensure()
    {
        try
        {
            _ = KmemSystem.Current;
        }
        catch (InvalidOperationException)
        {
            _ = s_system.Value;
        }
    }
}
