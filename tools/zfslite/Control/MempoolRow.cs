namespace ZfsLite.Cli;

/// <summary>A line of the table of memory pools of <c>kmem</c>.</summary>
public sealed class MempoolRow
{
    /// <summary>Name of the pool.</summary>
    public string Mempool { get; set; } = "";

    /// <summary>Bytes of an element.</summary>
    public long ElementSize { get; set; }

    /// <summary>Elements the reserve is to have.</summary>
    public long Min { get; set; }

    /// <summary>Elements in the reserve.</summary>
    public long Reserve { get; set; }

    /// <summary>The fewest there have been in it.</summary>
    public long Lowest { get; set; }

    /// <summary>Elements given out so far.</summary>
    public long Allocations { get; set; }

    /// <summary>Of them, from the reserve.</summary>
    public long FromReserve { get; set; }

    /// <summary>Waits for an element.</summary>
    public long Waits { get; set; }

    /// <summary>Time they took, milliseconds.</summary>
    public long WaitMs { get; set; }
}
