using System.Globalization;

namespace ZfsLite.Kmem;

/// <summary>
/// The attributes of caches by the names they have in /sys/kernel/slab: read, and set while the cache is in use. What belongs to the
/// slabs (all but the queues of the virtual CPUs) is common to merged caches. Allocates on the GC heap.
/// </summary>
public static class KmemTunables
{
    /// <summary>Every attribute of a cache of the system in force.</summary>
    /// <exception cref="KmemTunableException">ENOENT: no such cache.</exception>
    public static IReadOnlyList<KmemTunable> List(string cache)
    {
        KmemCache c = Find(cache);
        return [.. SlubqTunables.All.Where(t => t.IsFor(c)).Select(t => new KmemTunable(t.Name, t.Read?.Invoke(c) ?? string.Empty, t.Write is not null))];
    }

    /// <summary>The value of one attribute.</summary>
    /// <exception cref="KmemTunableException">ENOENT: no such cache or attribute; EACCES: it can only be written.</exception>
    public static string Get(string cache, string name)
    {
        KmemCache c = Find(cache);
        SlubqTunable tunable = Find(c, name);
        return tunable.Read?.Invoke(c) ?? throw new KmemTunableException(KmemTunableException.Eacces, $"{cache}: {name} can only be written");
    }

    /// <summary>Sets one attribute; it is in force when this returns.</summary>
    /// <exception cref="KmemTunableException">ENOENT: no such cache or attribute; EACCES: it can only be read; EINVAL: the value is out of
    /// range or no number.</exception>
    public static void Set(string cache, string name, string value)
    {
        KmemCache c = Find(cache);
        SlubqTunable tunable = Find(c, name);
        if (tunable.Write is null)
        {
            throw new KmemTunableException(KmemTunableException.Eacces, $"{cache}: {name} can only be read");
        }

        if (!int.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number))
        {
            throw new KmemTunableException(KmemTunableException.Einval, $"{cache}: {name}={value}: not a number");
        }

        if (!c.TryTune(() => tunable.Write(c, number)))
        {
            throw NoCache(cache);
        }
    }

    private static KmemCache Find(string cache) => KmemSystem.Current.Caches.Find(cache) ?? throw NoCache(cache);

    private static SlubqTunable Find(KmemCache cache, string name) =>
        Array.Find(SlubqTunables.All, t => string.Equals(t.Name, name, StringComparison.Ordinal) && t.IsFor(cache))
            ?? throw new KmemTunableException(KmemTunableException.Enoent, $"{cache.Name}: there is no attribute {name}");

    private static KmemTunableException NoCache(string cache) => new(KmemTunableException.Enoent, $"there is no cache {cache}");
}
