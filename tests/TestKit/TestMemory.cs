using ZfsLite.Kmem;

namespace ZfsLite.TestKit;

/// <summary>The arena that tests without one of their own share; a <see cref="KmemScope"/> takes its place for a while.</summary>
public static class TestMemory
{
    private static KmemSystem? s_shared;

    /// <summary>Sets the arena up, unless one is in force.</summary>
    public static void Ensure()
    {
        if (Find() is null)
        {
            s_shared = KmemSystem.Init(new KmemOptions { LockArena = false });
        }
    }

    /// <summary>Ends the shared arena, so that a test can have its own. Of an arena that is not shared it does nothing.</summary>
    internal static void End()
    {
        if (s_shared is not null && ReferenceEquals(Find(), s_shared))
        {
            KmemSystem.Shutdown();
        }

        s_shared = null;
    }

    private static KmemSystem? Find()
    {
        try
        {
            return KmemSystem.Current;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }
}
