namespace ZfsLite.Fs;

/// <summary>
/// The configuration of a pool, in its two forms: a leaf's label (with the tree of that leaf's top-level vdev only) and the
/// MOS config object (with all of them).
/// </summary>
public sealed class PoolConfig
{
    /// <summary>The one pool version that is written; newer ones are not read either.</summary>
    public const ulong Version23 = 23;

    /// <summary>Pool version.</summary>
    public ulong Version { get; init; } = Version23;

    /// <summary>Pool name.</summary>
    public string Name { get; init; } = "";

    /// <summary>State.</summary>
    public PoolState State { get; init; }

    /// <summary>Txg in which this configuration was written; 0 in a label: not part of a pool yet.</summary>
    public ulong Txg { get; init; }

    /// <summary>Identity of the pool; also the guid of the root of the vdev tree.</summary>
    public ulong PoolGuid { get; init; }

    /// <summary>Id of the host that last had it; 0: none.</summary>
    public ulong HostId { get; init; }

    /// <summary>Its name.</summary>
    public string HostName { get; init; } = "";

    /// <summary>Label: guid of the top-level vdev of this leaf.</summary>
    public ulong TopGuid { get; init; }

    /// <summary>Label: guid of this leaf.</summary>
    public ulong LeafGuid { get; init; }

    /// <summary>Number of top-level vdevs, logs included.</summary>
    public ulong VdevChildren { get; init; }

    /// <summary>Ids of top-level vdevs that were removed, in order: they keep their places, so that other ids stay what they are.</summary>
    public IReadOnlyList<ulong> Holes { get; init; } = [];

    /// <summary>Label: the one top-level vdev of this leaf. MOS: all, in order of id.</summary>
    public IReadOnlyList<VdevConfig> Tops { get; init; } = [];

    /// <summary>Reads a label's configuration.</summary>
    public static PoolConfig FromLabel(Nvlist n) => From(n, n.GetNvlist("vdev_tree") is { } tree ? [VdevConfig.FromNvlist(tree)] : []);

    /// <summary>Reads the MOS config object.</summary>
    public static PoolConfig FromMosConfig(Nvlist n) =>
        From(n, n.GetNvlist("vdev_tree") is { } root ? VdevConfig.FromNvlist(root).Children : []);

    /// <summary>Sum of the guids of all vdevs, root included, as the uberblock has it; right for the MOS form only.</summary>
    public ulong GuidSum
    {
        get
        {
            ulong sum = PoolGuid;
            foreach (VdevConfig top in Tops)
            {
                sum += top.GuidSum;
            }

            return sum;
        }
    }

    /// <summary>What in this configuration is not supported, named for the user; null if nothing.</summary>
    public string? Unsupported()
    {
        if (Version is 0 or > Version23)
        {
            return $"pool '{Name}' has version {Version}: only versions up to 23 are supported";
        }

        if (State > PoolState.Destroyed)
        {
            return $"the device is a {(State == PoolState.Spare ? "spare" : "cache device")}, not part of a pool";
        }

        foreach (VdevConfig top in Tops)
        {
            if (top.IsHole)
            {
                continue;
            }

            if (!top.IsLeaf)
            {
                return $"pool '{Name}': vdev {top.Id} is of type '{top.Type}', which is not supported";
            }

            if (top.Ashift is < 9 or > 13)
            {
                return $"pool '{Name}': vdev {top.Id} has ashift {top.Ashift}, supported are 9 to 13";
            }

            if (top.MetaslabShift is < 12 or > 62)
            {
                return $"pool '{Name}': vdev {top.Id} has metaslab_shift {top.MetaslabShift}";
            }
        }

        return null;
    }

    /// <summary>The label of a single-leaf top-level vdev.</summary>
    public Nvlist ToLabel(VdevConfig top)
    {
        Nvlist n = Common().Set("top_guid", top.Guid).Set("guid", top.Guid);
        if (top.IsLog)
        {
            _ = n.Set("is_log", 1);
        }

        return WithChildren(n).Set("vdev_tree", top.ToNvlist(isTop: true));
    }

    /// <summary>The MOS config object.</summary>
    public Nvlist ToMosConfig()
    {
        Nvlist root = new Nvlist().Set("type", "root").Set("id", 0).Set("guid", PoolGuid)
            .Set("children", Tops.Select(t => t.ToNvlist(isTop: true)).ToArray());
        return WithChildren(Common()).Set("vdev_tree", root);
    }

    /// <summary>A copy with another state and txg.</summary>
    public PoolConfig With(PoolState state, ulong txg, IReadOnlyList<VdevConfig>? tops = null) => new()
    {
        Version = Version,
        Name = Name,
        State = state,
        Txg = txg,
        PoolGuid = PoolGuid,
        HostId = HostId,
        HostName = HostName,
        TopGuid = TopGuid,
        LeafGuid = LeafGuid,
        VdevChildren = tops is null ? VdevChildren : (ulong)tops.Count,
        Holes = tops is null ? Holes : [.. tops.Where(static t => t.IsHole).Select(static t => t.Id)],
        Tops = tops ?? Tops,
    };

    private static PoolConfig From(Nvlist n, IReadOnlyList<VdevConfig> tops) => new()
    {
        Version = n.GetUInt64("version"),
        Name = n.GetString("name") ?? "",
        State = (PoolState)Math.Min(n.GetUInt64("state"), 100),
        Txg = n.GetUInt64("txg"),
        PoolGuid = n.GetUInt64("pool_guid"),
        HostId = n.GetUInt64("hostid"),
        HostName = n.GetString("hostname") ?? "",
        TopGuid = n.GetUInt64("top_guid"),
        LeafGuid = n.GetUInt64("guid"),
        VdevChildren = n.GetUInt64("vdev_children"),
        Holes = n.TryGet("hole_array", out ulong[]? holes) && holes is not null ? [.. holes.Distinct().Where(h => h < n.GetUInt64("vdev_children")).Order()] : [],
        Tops = tops,
    };

    private Nvlist WithChildren(Nvlist n) => (Holes.Count == 0 ? n : n.Set("hole_array", [.. Holes])).Set("vdev_children", VdevChildren);

    private Nvlist Common()
    {
        Nvlist n = new Nvlist().Set("version", Version).Set("name", Name).Set("state", (ulong)State).Set("txg", Txg)
            .Set("pool_guid", PoolGuid);
        if (HostId != 0)
        {
            _ = n.Set("hostid", HostId);
        }

        return n.Set("hostname", HostName);
    }
}
