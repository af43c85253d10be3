namespace ZfsLite.Torture;

/// <summary>Faults that are planted between the model and the allocator, to see that the model finds each.</summary>
public enum SlabFault
{
    /// <summary>None.</summary>
    None,

    /// <summary>An object that is out is handed out again.</summary>
    HandOutTwice,

    /// <summary>An object that begins inside another one is handed out.</summary>
    Overlap,

    /// <summary>Somebody writes into an object that is out.</summary>
    Overwrite,

    /// <summary>An object that is given back doesn't arrive.</summary>
    LoseObject,

    /// <summary>More is counted than happened.</summary>
    Miscount,

    /// <summary>A thread that is not entitled gets an object of a tagged slab.</summary>
    LendTagged,

    /// <summary>An ordinary allocation goes below min.</summary>
    BreachLadder,

    /// <summary>KM_NOSLEEP waits.</summary>
    NoSleepWaits,

    /// <summary>A sleeping allocation returns null.</summary>
    NullForSleeper,

    /// <summary>An allocation leaves a mark on its thread.</summary>
    MarkLeft,

    /// <summary>An object is constructed and not destructed.</summary>
    DestructorSkipped,
}
