namespace ZfsLite.Kmem;

/// <summary>Something that can give memory back. Runs in the thread of whoever needs memory.</summary>
public interface IShrinker
{
    /// <summary>Returned by Scan: nothing can be done in this context.</summary>
    const long Stop = -1;

    /// <summary>Name, for statistics.</summary>
    string Name { get; }

    /// <summary>How many objects one Scan is asked for at most (SHRINK_BATCH).</summary>
    int BatchSize => 128;

    /// <summary>How many objects could go. No lock that a sleeping allocation is made under may be taken except by try.</summary>
    long Count(in ShrinkControl control);

    /// <summary>Frees up to <paramref name="toScan"/> objects; returns how many went, or <see cref="Stop"/>.</summary>
    long Scan(in ShrinkControl control, long toScan);
}
