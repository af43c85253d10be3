using ZfsLite.TestKit;
using ZfsLite.Tests.Posix;

namespace ZfsLite.Tests.Mount;

/// <summary>
/// A pool of its own, mounted by the command as a daemon, for a class of tests. At the end it is unmounted, all its memory must be given back, and zdb, where it
/// is installed, must find neither a leak nor a bad checksum.
/// </summary>
public class ZfsLiteMount : IDisposable
{
    private const string Pool = "mounttest";

    private readonly CliRunDirectory _dir = new();
    private readonly string[] _mountOptions;
    private readonly string? _mounted;
    private PosixTarget? _target;

    /// <summary>Makes the pool and mounts it, where that is possible.</summary>
    public ZfsLiteMount()
        : this([], [])
    {
    }

    internal ZfsLiteMount(string[] createOptions, string[] mountOptions, string size = "2G")
    {
        _mountOptions = mountOptions;
        Path = Directory.CreateDirectory(_dir.File("mnt")).FullName;
        if (FuseFactAttribute.Reason() is not null)
        {
            return;
        }

        Directory.CreateDirectory(_dir.File("dev"));
        Must(["create", Pool, _dir.File("dev/pool.img"), "--size", size, .. createOptions]);
        Mount();
        _mounted = Path;
    }

    /// <summary>For the POSIX cases.</summary>
    internal PosixTarget Target => _target ??= new PosixTarget(Path, () =>
    {
        Must(["unmount", Path]);
        Mount();
    });

    /// <summary>The mount point.</summary>
    public string Path { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        try
        {
            if (_mounted is not null)
            {
                Unmount(_mounted);
                _dir.CheckLeaks();
                Judge();
            }
        }
        finally
        {
            _dir.Dispose();
            GC.SuppressFinalize(this);
        }
    }

    internal void Must(string[] arguments)
    {
        CliResult result = _dir.RunProcess(arguments);
        if (result.ExitCode != 0)
        {
            throw new InvalidOperationException($"zfslite {string.Join(' ', arguments)}: exit {result.ExitCode}: {result.Error}{result.Output}");
        }
    }

    private void Mount() => Must(["mount", _dir.File("dev/pool.img"), Path, "--background", .. _mountOptions]);

    private void Unmount(string path)
    {
        try
        {
            Must(["unmount", path]);
        }
        catch (InvalidOperationException)
        {
            // A test that failed may have left a file open.
            _dir.Start("fusermount3", ["-u", "-z", path]);
            throw;
        }
    }

    private void Judge()
    {
        if (ZfsFuseTools.Missing is not null)
        {
            return;
        }

        (int exitCode, string output) = Zdb.Check(_dir.File("dev"), Pool);
        if (!Zdb.IsClean(exitCode, output))
        {
            throw new InvalidDataException($"zdb: exit {exitCode}\n{output}");
        }
    }
}
