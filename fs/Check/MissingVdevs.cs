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
        return [.. Configs(pool).Select(Describe)];
    }

    /// <summary>True if something is missing, and all of it are log devices.</summary>
    public static bool AreLogs(PoolReader pool) => AreLogs(pool, out _);

    internal static bool AreLogs(PoolReader pool, out IReadOnlyList<VdevConfig> missing)
    {
        missing = Configs(pool);
        return missing.Count > 0 && missing.All(static t => t.IsLog && t.IsLeaf) && pool.Config.With(pool.Config.State, 0, [.. pool.Config.Tops, .. missing]).Unsupported() is null;
    }

    private static List<VdevConfig> Configs(PoolReader pool) =>
        pool.HasMissing ? [.. pool.ReadMosConfig().Tops.Where(t => !t.IsHole && !IsHere(pool.Config, t.Id))] : [];

    /// <summary>Does a log of the pool have records that are not in the txg that was written last?</summary>
    private static bool HasRecords(PoolReader pool) =>
        pool.Datasets().Any(ds => !ds.IsSnapshot && !pool.OpenObjset(ds).Phys.ZilHeader.Log.IsHole);

    private static string WhatIsLost(PoolReader pool)
    {
        try
        {
            return HasRecords(pool)
                ? $"what was fsynced after txg {pool.Uberblock.Txg} ({DateTimeOffset.FromUnixTimeSeconds((long)Math.Min(pool.Uberblock.Timestamp, 253402300799)):yyyy-MM-dd HH:mm:ss} UTC) may lie there alone, and is lost"
                : "the intent log is empty, and nothing is lost";
        }
        catch (ZfsException e)
        {
            return $"what that loses can't be told ({e.Message})";
        }
    }

    /// <summary>The error for a pool of which some devices were not given; its one line names them.</summary>
    public static ZfsException Error(PoolReader pool)
    {
        ArgumentNullException.ThrowIfNull(pool);
        IReadOnlyList<string> names;
        try
        {
            names = Of(pool);
            if (AreLogs(pool, out _))
            {
                return new ZfsException(Errno.ENXIO,
                    $"pool '{pool.Config.Name}' lacks its {string.Join(", ", names)}: give it too; without it, with -m, {WhatIsLost(pool)}");
            }
        }
        catch (ZfsException)
        {
            names = Guess(pool.Config, pool.Holes, pool.Vdevs.Count, pool.Uberblock);
        }

        return Error(pool.Config, pool.Vdevs.Count - pool.Holes.Count, names);
    }

    internal static ZfsException Error(PoolConfig here, int devices, IReadOnlyList<string> missing) =>
        new(Errno.ENXIO, $"pool '{here.Name}' has {devices} devices, {here.Tops.Count} given; missing: {string.Join(", ", missing)}");

    /// <summary>Without the MOS: the numbers, and the guid of a single missing one, which the sum in the uberblock gives away.</summary>
    internal static IReadOnlyList<string> Guess(PoolConfig here, IReadOnlyList<ulong> holes, int devices, in Uberblock uberblock)
    {
        List<string> names = [.. Enumerable.Range(0, devices).Where(id => !holes.Contains((ulong)id) && !IsHere(here, (ulong)id)).Select(static id => $"vdev {id}")];
        return names.Count == 1 ? [$"{names[0]} (guid {uberblock.GuidSum - here.GuidSum:x16})"] : names;
    }

    private static bool IsHere(PoolConfig here, ulong id) => here.Tops.Any(t => t.Id == id);

    private static string Describe(VdevConfig top) =>
        $"{(top.IsLog ? "log vdev" : "vdev")} {top.Id}{(top.Path is null ? "" : $", {top.Path}")} (guid {top.Guid:x16})";
}
