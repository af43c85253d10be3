namespace ZfsLite.Cli;

/// <summary>A pool opened for one command, without a mount.</summary>
internal sealed class OfflinePool : IPoolCommands, IDisposable
{
    internal static OfflinePool Open(IReadOnlyList<string> devices, bool readOnly) => throw new CliException("opening a pool by device is not in this build");

    public HelloInfo Hello() => throw new NotSupportedException();

    public StatusInfo Status() => throw new NotSupportedException();

    public List<DatasetRow> List() => throw new NotSupportedException();

    public List<PropertyRow> Get(string? dataset, IReadOnlyList<string> names) => throw new NotSupportedException();

    public void Set(string? dataset, IReadOnlyDictionary<string, string> values) => throw new NotSupportedException();

    public KmemInfo Kmem() => throw new NotSupportedException();

    public List<TxgRow> Txgs() => throw new NotSupportedException();

    public void Sync() => throw new NotSupportedException();

    public void Remount(MountOptions options) => throw new NotSupportedException();

    public void Unmount() => throw new NotSupportedException();

    public void Dispose()
    {
    }
}
