using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>The POSIX suite in the smallest useful arena, with small compressed records and every read seen for its access time.</summary>
[Collection("Mount")]
public sealed class ZfsLiteSmallPosixTests(ZfsLiteSmallPosixTests.SmallMount mount) : PosixSuite, IClassFixture<ZfsLiteSmallPosixTests.SmallMount>
{
    /// <inheritdoc/>
    protected override string Root => mount.Path;

    /// <summary>A mount of that kind.</summary>
    public sealed class SmallMount() : ZfsLiteMount(["-o", "recordsize=8K", "-o", "compression=lzjb"], ["--memory", "32M", "-o", "atime"]);
}
