using Xunit;
using ZfsLite.TestKit;
using ZfsLite.Tests.Posix;

namespace ZfsLite.Tests.Mount;

/// <summary>The basic POSIX cases on the file system in memory: what fails here is the FUSE door's own.</summary>
[Collection("Mount")]
public sealed class MemFsPosixTests(MemFsMount mount) : IClassFixture<MemFsMount>
{
    /// <summary>The cases.</summary>
    public static TheoryData<string> Cases => PosixRows.For(FileSystemKind.Other, PosixNeeds.Root | PosixNeeds.MountPoint, "Basic");

    [FuseTheory]
    [MemberData(nameof(Cases))]
    public void Posix(string name) => PosixRows.Run(name, new PosixTarget(mount.Path));
}
