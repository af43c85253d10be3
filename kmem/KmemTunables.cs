using System.Globalization;

namespace ZfsLite.Kmem;

/// <summary>
/// The attributes of caches by the names they have in /sys/kernel/slab: read, and set while the cache is in use. What belongs to the
/// slabs (all but the queues of the virtual CPUs) is common to merged caches. The name failslab stands for the attributes of
/// <see cref="Failslab"/>. Allocates on the GC heap.
/// </summary>
public static class KmemTunables
{
    /// <summary>Every attribute of a cache of the system in force.</summary>
    /// <exception cref="KmemTunableException">ENOENT: no such cache.</exception>
    public static IReadOnlyList<KmemTunable> List(string cache)
    {
        if (IsFailslab(cache))
        {
            Failslab failslab = KmemSystem.Current.Failslab;
            return [.. Failslab.Names.Select(n => new KmemTunable(n, failslab.Get(n)!, Failslab.IsWritable(n)))];
        }

        KmemCache c = Find(cache);
        return [.. SlubqTunables.All.Where(t => t.IsFor(c)).Select(t => new KmemTunable(t.Name, t.Read?.Invoke(c) ?? string.Empty, t.Write is not null))];
    }

    /// <summary>The value of one attribute.</summary>
    /// <exception cref="KmemTunableException">ENOENT: no such cache or attribute; EACCES: it can only be written.</exception>
    public static string Get(string cache, string name)
    {
        if (IsFailslab(cache))
        {
            return KmemSystem.Current.Failslab.Get(name) ?? throw NoAttribute(cache, name);
        }

        KmemCache c = Find(cache);
        SlubqTunable tunable = Find(c, name);
        return tunable.Read?.Invoke(c) ?? throw new KmemTunableException(KmemTunableException.Eacces, $"{cache}: {name} can only be written");
    }

    /// <summary>Sets one attribute; it is in force when this returns.</summary>
    /// <exception cref="KmemTunableException">ENOENT: no such cache or attribute; EACCES: it can only be read; EINVAL: the value is out of
    /// range or no number.</exception>
    public static void Set(string cache, string name, string value)
    {
        if (IsFailslab(cache))
        {
            SetFailslab(KmemSystem.Current.Failslab, name, value);
            return;
        }

        KmemCache c = Find(cache);
        SlubqTunable tunable = Find(c, name);
        if (tunable.Write is null)
        {
            throw ReadOnly(cache, name);
        }

        int number = Number(cache, name, value);

        if (!c.TryTune(() => tunable.Write(c, number)))
        {
            throw NoCache(cache);
        }
    }

    private static KmemCache Find(string cache) => KmemSystem.Current.Caches.Find(cache) ?? throw NoCache(cache);

    private static SlubqTunable Find(KmemCache cache, string name) =>
        Array.Find(SlubqTunables.All, t => string.Equals(t.Name, name, StringComparison.Ordinal) && t.IsFor(cache))
            ?? throw NoAttribute(cache.Name, name);

    private static bool IsFailslab(string cache) => string.Equals(cache, Failslab.Name, StringComparison.Ordinal);

    private static void SetFailslab(Failslab failslab, string name, string value)
    {
        if (failslab.Get(name) is null)
        {
            throw NoAttribute(Failslab.Name, name);
        }

        if (!Failslab.IsWritable(name))
        {
            throw ReadOnly(Failslab.Name, name);
        }

        if (failslab.Set(name, Number(Failslab.Name, name, value)) is { } range)
        {
            throw new KmemTunableException(KmemTunableException.Einval, $"{Failslab.Name}: {name}={value}: {range} is possible");
        }
    }

    private static int Number(string cache, string name, string value) =>
        int.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number)
            ? number
            : throw new KmemTunableException(KmemTunableException.Einval, $"{cache}: {name}={value}: not a number");

    private static KmemTunableException ReadOnly(string cache, string name) =>
        new(KmemTunableException.Eacces, $"{cache}: {name} can only be read");

    private static KmemTunableException NoAttribute(string cache, string name) =>
        new(KmemTunableException.Enoent, $"{cache}: there is no attribute {name}");

    private static KmemTunableException NoCache(string cache) => new(KmemTunableException.Enoent, $"there is no cache {cache}");
}
