namespace ZfsLite.Kmem;

/// <summary>How to set up the memory of the process.</summary>
public sealed class KmemOptions
{
    /// <summary>Size of the arena in bytes. 16 MiB at least.</summary>
    public long ArenaBytes { get; init; } = 256L << 20;

    /// <summary>Policy of marks and reserves.</summary>
    public KmemPolicy Policy { get; init; } = KmemPolicy.Fstrans;

    /// <summary>Every Nth unmarked sleeping allocation runs the shrinkers; 0: never.</summary>
    public int TortureReclaim { get; init; }

    /// <summary>Overrides the computed min watermark, bytes; 0: computed as Linux does.</summary>
    public long MinFreeBytes { get; init; }
}
