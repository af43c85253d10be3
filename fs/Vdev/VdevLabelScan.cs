namespace ZfsLite.Fs;

/// <summary>What the labels of a device say.</summary>
public sealed class VdevLabelScan
{
    /// <summary>The configuration of the newest whole label; null if there is none.</summary>
    public PoolConfig? Config { get; internal set; }

    /// <summary>What each label says; null where it is not whole.</summary>
    public PoolConfig?[] Configs { get; } = new PoolConfig?[VdevLabel.Count];

    /// <summary>The configuration that belongs to an uberblock: a crash may have left labels that are ahead of it. Without one the newest.</summary>
    public PoolConfig? ConfigAt(ulong txg) => Configs.Where(c => c?.Txg <= txg).MaxBy(static c => c!.Txg) ?? Config;

    /// <summary>The same as it was read.</summary>
    public Nvlist? ConfigList { get; internal set; }

    /// <summary>Bit n set: label n is whole.</summary>
    public int ValidLabels { get; internal set; }

    /// <summary>True if <see cref="Best"/> is set.</summary>
    public bool HasUberblock { get; internal set; }

    /// <summary>The newest uberblock: highest txg, then latest time.</summary>
    public Uberblock Best { get; internal set; }

    /// <summary>Bit n set: label n has <see cref="Best"/>.</summary>
    public int BestLabels { get; internal set; }

    /// <summary>Whole uberblocks in all labels.</summary>
    public int UberblockCount { get; internal set; }

    /// <summary>An uberblock of a big-endian pool was seen.</summary>
    public bool SeenBigEndian { get; internal set; }
}
