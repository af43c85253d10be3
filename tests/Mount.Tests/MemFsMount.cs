using ZfsLite.Fs;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Mount;

/// <summary>The file system in memory on a real mount.</summary>
public sealed class MemFsMount : IDisposable
{
    private readonly FuseServer? _server;

    /// <summary>Mounts, where that is possible.</summary>
    public MemFsMount()
        : this(new MemFs(), writebackCache: true)
    {
    }

    internal MemFsMount(MemFs fs, bool writebackCache = true, bool readOnly = false, bool useFusermount = false, long graceNs = 3_000_000_000)
    {
        Fs = fs;
        Path = Directory.CreateTempSubdirectory("fuse-test-").FullName;
        if (FuseFactAttribute.Reason() is not null)
        {
            return;
        }

        TestMemory.Ensure();
        _server = FuseServer.Start(fs, new FuseMountOptions
        {
            MountPoint = Path,
            Source = "memfs",
            WritebackCache = writebackCache,
            ReadOnly = readOnly,
            UseFusermount = useFusermount,
            AllowOther = useFusermount ? false : null,
            UnmountGraceNs = graceNs,
            Log = Log,
        });
    }

    internal MemFs Fs { get; }

    internal StringWriter Log { get; } = new();

    /// <summary>The mount point.</summary>
    public string Path { get; }

    internal FuseServer Server => _server ?? throw new InvalidOperationException("nothing is mounted");

    /// <inheritdoc/>
    public void Dispose()
    {
        _server?.Dispose();
        Directory.Delete(Path);
    }
}
