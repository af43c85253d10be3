namespace ZfsLite.Kmem;

/// <summary>Allocation flags (KM_*). Public entries accept no other bits.</summary>
[Flags]
public enum KmFlags
{
    /// <summary>KM_SLEEP: may block, never returns null.</summary>
    Sleep = 0,

    /// <summary>KM_NOSLEEP: must not block, may return null.</summary>
    NoSleep = 1,

    /// <summary>KM_PUSHPAGE: may block and may dip into the reserve.</summary>
    PushPage = 4,
}
