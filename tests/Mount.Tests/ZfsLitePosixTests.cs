using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>The POSIX suite on a pool mounted by the command.</summary>
[Collection("Mount")]
public sealed class ZfsLitePosixTests(ZfsLiteMount mount) : PosixSuite, IClassFixture<ZfsLiteMount>
{
    /// <inheritdoc/>
    protected override string Root => mount.Path;
}
