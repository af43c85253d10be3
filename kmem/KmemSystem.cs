namespace ZfsLite.Kmem;

/// <summary>The memory of the process: one arena, its reclaim, its policy.</summary>
public sealed class KmemSystem
{
    private static KmemSystem? s_current;

    private KmemSystem(KmemOptions options) => Options = options;

    /// <summary>The system in force. <see cref="Init"/> comes first.</summary>
    public static KmemSystem Current => s_current ?? throw new InvalidOperationException("kmem is not initialised");

    /// <summary>The options it was made with.</summary>
    public KmemOptions Options { get; }

    /// <summary>Size of the arena, bytes.</summary>
    public long ArenaBytes => Options.ArenaBytes;

    /// <summary>Sets up the arena. Once per process; tests may shut down and start again.</summary>
    public static KmemSystem Init(KmemOptions options) => s_current = new KmemSystem(options);

    /// <summary>Ends kswapd and gives the arena back.</summary>
    public static void Shutdown() => s_current = null;
}
