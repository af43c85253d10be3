namespace ZfsLite.Kmem;

/// <summary>The policy counters of a system, changed by atomic adds.</summary>
internal sealed class KmemCounters
{
    internal long TurnedAway;
    internal long DirectReclaims;
    internal long KswapdWakes;
    internal long PagesReclaimed;
    internal long ObjectsReclaimed;
    internal long TortureRuns;
    internal long Stalls;
    internal long StallNs;
    internal long Failures;
    internal long Warnings;
    internal long LargeAllocs;
}
