namespace ZfsLite.Lab;

/// <summary>What happened in a run.</summary>
internal sealed class ScenarioCounters
{
    /// <summary>Records written.</summary>
    public long Writes;

    /// <summary>Records read.</summary>
    public long Reads;

    /// <summary>Clean znodes freed by the shrinker.</summary>
    public long EvictedClean;

    /// <summary>Transactions opened by the shrinker in the thread that asked for memory.</summary>
    public long EvictedInReclaim;

    /// <summary>Of these, in a thread that held a transaction already.</summary>
    public long Nested;

    /// <summary>Znodes handed to the inactive queue.</summary>
    public long HandedToQueue;

    /// <summary>Times the shrinker was turned away because it might not enter the file system.</summary>
    public long TurnedAway;

    /// <summary>Transaction groups written.</summary>
    public long Txgs;
}
