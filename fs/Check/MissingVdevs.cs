namespace ZfsLite.Fs;

/// <summary>
/// Names the devices of a pool that are not here. A label describes its own top-level vdev only; all of them are listed in the
/// MOS, which can be read as long as one copy of each of its blocks is here.
/// </summary>
public static class MissingVdevs
{
    /// <summary>One text for each missing vdev, in order of id: number, recorded path, guid. Throws ZfsException if the list can't be read.</summary>
    public static IReadOnlyList<string> Of(PoolReader pool)
    {
        ArgumentNullException.ThrowIfNull(pool);
        return pool.Vdevs.Count == pool.Config.Tops.Count
            ? []
            : [.. pool.ReadMosConfig().Tops.Where(t => t.Type != "hole" && !IsHere(pool.Config, t.Id)).Select(Describe)];
    }

    /// <summary>The error for a pool of which some devices were not given; its one line names them.</summary>
    public static ZfsException Error(PoolReader pool)
    {
        ArgumentNullException.ThrowIfNull(pool);
        IReadOnlyList<string> names;
        try
        {
            names = Of(pool);
        }
        catch (ZfsException)
        {
            names = Guess(pool.Config, pool.Vdevs.Count, pool.Uberblock);
        }

        return Error(pool.Config, pool.Vdevs.Count, names);
    }

    internal static ZfsException Error(PoolConfig here, int devices, IReadOnlyList<string> missing) => new(Errno.ENXIO, missing.Count > 0
        ? $"pool '{here.Name}' has {devices} devices, {here.Tops.Count} given; missing: {string.Join(", ", missing)}"
        : $"pool '{here.Name}' had a device removed, which is not supported");

    /// <summary>Without the MOS: the numbers, and the guid of a single missing one, which the sum in the uberblock gives away.</summary>
    internal static IReadOnlyList<string> Guess(PoolConfig here, int devices, in Uberblock uberblock)
    {
        List<string> names = [.. Enumerable.Range(0, devices).Where(id => !IsHere(here, (ulong)id)).Select(static id => $"vdev {id}")];
        return names.Count == 1 ? [$"{names[0]} (guid {uberblock.GuidSum - here.GuidSum:x16})"] : names;
    }

    private static bool IsHere(PoolConfig here, ulong id) => here.Tops.Any(t => t.Id == id);

    private static string Describe(VdevConfig top) =>
        $"{(top.IsLog ? "log vdev" : "vdev")} {top.Id}{(top.Path is null ? "" : $", {top.Path}")} (guid {top.Guid:x16})";
}
