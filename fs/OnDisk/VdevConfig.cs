namespace ZfsLite.Fs;

/// <summary>A vdev as a pool's configuration describes it.</summary>
public sealed class VdevConfig
{
    /// <summary>file, disk, mirror, raidz, replacing, spare, hole, missing, root.</summary>
    public string Type { get; init; } = "";

    /// <summary>Index in its parent.</summary>
    public ulong Id { get; init; }

    /// <summary>Identity.</summary>
    public ulong Guid { get; init; }

    /// <summary>Where it was last seen (leaf).</summary>
    public string? Path { get; init; }

    /// <summary>Object that lists the space maps (top).</summary>
    public ulong MetaslabArray { get; init; }

    /// <summary>log2 of the metaslab size (top).</summary>
    public ulong MetaslabShift { get; init; }

    /// <summary>log2 of the smallest allocation (top).</summary>
    public ulong Ashift { get; init; }

    /// <summary>Allocatable bytes (top).</summary>
    public ulong Asize { get; init; }

    /// <summary>Intent log device (top).</summary>
    public bool IsLog { get; init; }

    /// <summary>Txg in which it joined.</summary>
    public ulong CreateTxg { get; init; }

    /// <summary>Children, in order.</summary>
    public IReadOnlyList<VdevConfig> Children { get; init; } = [];

    /// <summary>The list it was read from, with pairs that this type does not know.</summary>
    public Nvlist? Source { get; init; }

    /// <summary>True for a device, as opposed to a group of them.</summary>
    public bool IsLeaf => Type is "file" or "disk";

    /// <summary>True for the place of a vdev that was removed.</summary>
    public bool IsHole => Type is "hole";

    /// <summary>The place of a vdev that was removed.</summary>
    public static VdevConfig Hole(ulong id) => new() { Type = "hole", Id = id };

    /// <summary>Sum of the guids of this vdev and all below, mod 2^64.</summary>
    public ulong GuidSum
    {
        get
        {
            ulong sum = Guid;
            foreach (VdevConfig c in Children)
            {
                sum += c.GuidSum;
            }

            return sum;
        }
    }

    /// <summary>Reads a vdev tree.</summary>
    public static VdevConfig FromNvlist(Nvlist n) => new()
    {
        Type = n.GetString("type") ?? "",
        Id = n.GetUInt64("id"),
        Guid = n.GetUInt64("guid"),
        Path = n.GetString("path"),
        MetaslabArray = n.GetUInt64("metaslab_array"),
        MetaslabShift = n.GetUInt64("metaslab_shift"),
        Ashift = n.GetUInt64("ashift"),
        Asize = n.GetUInt64("asize"),
        IsLog = n.GetUInt64("is_log") != 0,
        CreateTxg = n.GetUInt64("create_txg"),
        Children = Array.ConvertAll(n.GetNvlistArray("children"), FromNvlist),
        Source = n,
    };

    /// <summary>The pairs of a vdev, in the order in which the format has them.</summary>
    public Nvlist ToNvlist(bool isTop)
    {
        Nvlist n = new Nvlist().Set("type", Type).Set("id", Id).Set("guid", Guid);
        if (Path is not null)
        {
            _ = n.Set("path", Path);
        }

        if (Type == "disk")
        {
            _ = n.Set("whole_disk", Source?.GetUInt64("whole_disk") ?? 0);
        }

        if (isTop)
        {
            _ = n.Set("metaslab_array", MetaslabArray).Set("metaslab_shift", MetaslabShift).Set("ashift", Ashift)
                .Set("asize", Asize).Set("is_log", IsLog ? 1UL : 0);
        }

        if (Source?.GetUInt64("DTL") is { } dtl and not 0)
        {
            _ = n.Set("DTL", dtl);
        }

        _ = IsHole ? n.Set("is_hole", 1) : n.Set("create_txg", CreateTxg);
        if (Children.Count > 0)
        {
            _ = n.Set("children", Children.Select(c => c.ToNvlist(isTop: false)).ToArray());
        }

        return n;
    }

    /// <summary>A copy with another metaslab array.</summary>
    public VdevConfig WithMetaslabArray(ulong obj) => new()
    {
        Type = Type,
        Id = Id,
        Guid = Guid,
        Path = Path,
        MetaslabArray = obj,
        MetaslabShift = MetaslabShift,
        Ashift = Ashift,
        Asize = Asize,
        IsLog = IsLog,
        CreateTxg = CreateTxg,
        Children = Children,
        Source = Source,
    };
}
