using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Mount;

/// <summary>The POSIX suite without the writeback cache, and with pages dropped at each open, as atime=on does.</summary>
[Collection("Mount")]
public sealed class MemFsWriteThroughPosixTests : PosixSuite, IDisposable
{
    private readonly MemFsMount _mount = new(new MemFs { KeepsCache = false }, writebackCache: false);

    /// <inheritdoc/>
    protected override string Root => _mount.Path;

    /// <inheritdoc/>
    public void Dispose() => _mount.Dispose();
}
