using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Mount;

/// <summary>The POSIX suite on the file system in memory: what fails here is the FUSE door's own.</summary>
[Collection("Mount")]
public sealed class MemFsPosixTests(MemFsMount mount) : PosixSuite, IClassFixture<MemFsMount>
{
    /// <inheritdoc/>
    protected override string Root => mount.Path;
}
