using Xunit;
using ZfsLite.Tests.Posix;

namespace ZfsLite.Tests.Mount;

/// <summary>The POSIX cases on a pool mounted by the command.</summary>
[Collection("Mount")]
public sealed class ZfsLitePosixTests(ZfsLitePosixTests.PosixMount mount) : IClassFixture<ZfsLitePosixTests.PosixMount>
{
    /// <summary>The cases.</summary>
    public static TheoryData<string> Cases => PosixRows.For(FileSystemKind.ZfsLite, PosixNeeds.Root | PosixNeeds.MountPoint | PosixNeeds.Remount | PosixNeeds.Small);

    [FuseTheory]
    [MemberData(nameof(Cases))]
    public void Posix(string name) => PosixRows.Run(name, mount.Target);

    /// <summary>Small enough to be filled.</summary>
    public sealed class PosixMount() : ZfsLiteMount([], [], "256M");
}
