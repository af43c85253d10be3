using Xunit;
using ZfsLite.Tests.Posix;

namespace ZfsLite.Tests.Mount;

/// <summary>The POSIX cases in the smallest useful arena, with small compressed records and every read seen for its access time.</summary>
[Collection("Mount")]
public sealed class ZfsLiteSmallPosixTests(ZfsLiteSmallPosixTests.SmallMount mount) : IClassFixture<ZfsLiteSmallPosixTests.SmallMount>
{
    /// <summary>The cases.</summary>
    public static TheoryData<string> Cases => PosixRows.For(FileSystemKind.ZfsLite, PosixNeeds.Root | PosixNeeds.MountPoint | PosixNeeds.Remount);

    [FuseTheory]
    [MemberData(nameof(Cases))]
    public void Posix(string name) => PosixRows.Run(name, mount.Target);

    /// <summary>A mount of that kind.</summary>
    public sealed class SmallMount() : ZfsLiteMount(["-o", "recordsize=8K", "-o", "compression=lzjb"], ["--memory", "32M", "-o", "atime"]);
}
