namespace ZfsLite.Kmem;

/// <summary>The registered shrinkers of the system in force, run in the order of registration.</summary>
public static class Shrinkers
{
    /// <summary>Registers a shrinker.</summary>
    public static void Register(IShrinker shrinker) => KmemSystem.Current.Shrinkers.Add(shrinker);

    /// <summary>Removes a shrinker; returns once no thread is inside it. Not from within the shrinker itself.</summary>
    public static void Unregister(IShrinker shrinker) => KmemSystem.Current.Shrinkers.Remove(shrinker);
}
