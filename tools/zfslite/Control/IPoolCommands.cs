using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>
/// What can be asked of an open pool, mounted by a daemon or opened for one command. Failures are <see cref="CliException"/> or the
/// pool's own exceptions.
/// </summary>
public interface IPoolCommands
{
    /// <summary>Who this is.</summary>
    HelloInfo Hello();

    /// <summary>State, space, warnings.</summary>
    StatusInfo Status();

    /// <summary>Every dataset and snapshot.</summary>
    List<DatasetRow> List();

    /// <summary>Properties of a dataset; <paramref name="names"/> empty: all.</summary>
    List<PropertyRow> Get(string? dataset, IReadOnlyList<string> names);

    /// <summary>Sets properties; all or none.</summary>
    void Set(string? dataset, IReadOnlyDictionary<string, string> values);

    /// <summary>Gives the pool devices for its intent log.</summary>
    void AddLog(IReadOnlyList<string> devices);

    /// <summary>Takes a log device out of the pool, by its path or guid.</summary>
    void RemoveLog(string device);

    /// <summary>Slab table, watermarks, counters.</summary>
    KmemInfo Kmem();

    /// <summary>The slab table as SPL shows it, sorted by name.</summary>
    List<KmemSlabLine> KmemSlab();

    /// <summary>The live allocations of watched caches, by cache and call site, most bytes first.</summary>
    List<KmemLeak> KmemLeaks();

    /// <summary>Attributes of a slab cache; <paramref name="names"/> empty: all.</summary>
    List<KmemTunableRow> KmemGet(string cache, IReadOnlyList<string> names);

    /// <summary>Sets attributes of a slab cache, one after the other, up to the first that is refused.</summary>
    void KmemSet(string cache, IReadOnlyDictionary<string, string> values);

    /// <summary>The recent txgs, oldest first.</summary>
    List<TxgRow> Txgs();

    /// <summary>Returns when all that was written before is on stable storage.</summary>
    void Sync();

    /// <summary>A suspended pool tries again what its devices failed; returns when that went well.</summary>
    void Clear();

    /// <summary>Changes the options of the mount.</summary>
    void Remount(MountOptions options);

    /// <summary>Unmounts; returns when the pool is closed.</summary>
    void Unmount();
}
