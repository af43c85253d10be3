using ZfsLite.Fs;
using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>A pool opened for one command, without a mount.</summary>
internal sealed class OfflinePool : IPoolCommands, IDisposable
{
    private readonly CommandMemory _memory;
    private readonly Spa _spa;

    private OfflinePool(CommandMemory memory, Spa spa)
    {
        _memory = memory;
        _spa = spa;
    }

    /// <summary>Opens the pool on these devices; dispose to close it.</summary>
    internal static OfflinePool Open(IReadOnlyList<string> devices, bool readOnly, bool withoutLog = false)
    {
        CommandMemory memory = CommandMemory.Use();
        try
        {
            return new OfflinePool(memory, OpenPool.Open(devices, readOnly, withoutLog));
        }
        catch
        {
            memory.Dispose();
            throw;
        }
    }

    public HelloInfo Hello() => throw NotMounted("hello");

    public StatusInfo Status() => OpenPool.Status(_spa);

    public List<DatasetRow> List() => OpenPool.List(_spa);

    public List<PropertyRow> Get(string? dataset, IReadOnlyList<string> names) => OpenPool.Get(_spa, dataset, names);

    public void Set(string? dataset, IReadOnlyDictionary<string, string> values)
    {
        if (_spa.ReadOnlyReason is { } reason)
        {
            throw new CliException($"pool {_spa.Name} can only be read: {reason}");
        }

        OpenPool.Set(_spa, dataset, values);
    }

    public void AddLog(IReadOnlyList<string> devices) => OpenPool.AddLog(_spa, devices);

    public void RemoveLog(string device) => _spa.RemoveLogDevice(device);

    public KmemInfo Kmem() => throw NotMounted("kmem");

    public List<KmemLeak> KmemLeaks() => throw NotMounted("kmem leaks");

    public List<KmemSlabLine> KmemSlab() => throw NotMounted("kmem slab");

    public List<KmemTunableRow> KmemGet(string cache, IReadOnlyList<string> names) => throw NotMounted("kmem get");

    public void KmemSet(string cache, IReadOnlyDictionary<string, string> values) => throw NotMounted("kmem set");

    public List<TxgRow> Txgs() => throw NotMounted("txgs");

    public void Sync() => throw NotMounted("sync");

    public void Clear() => throw NotMounted("clear");

    public void Remount(MountOptions options) => throw NotMounted("remount");

    public void Unmount() => throw NotMounted("unmount");

    public void Dispose()
    {
        _spa.Close();
        _memory.Dispose();
    }

    private CliException NotMounted(string command) => new($"pool {_spa.Name} is not mounted: {command} asks a daemon", CommandLine.UsageOf("mount"));
}
