namespace ZfsLite.Kmem;

/// <summary>The figures of one shrinker.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Scans">Calls of Scan.</param>
/// <param name="Stops">Calls that ended with Stop: nothing could be done in that context.</param>
/// <param name="Freed">Objects freed.</param>
public sealed record ShrinkerStats(string Name, long Scans, long Stops, long Freed);
