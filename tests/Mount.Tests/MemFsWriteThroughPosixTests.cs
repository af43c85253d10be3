using Xunit;
using ZfsLite.TestKit;
using ZfsLite.Tests.Posix;

namespace ZfsLite.Tests.Mount;

/// <summary>The basic POSIX cases without the writeback cache, and with pages dropped at each open, as atime=on does.</summary>
[Collection("Mount")]
public sealed class MemFsWriteThroughPosixTests(MemFsWriteThroughPosixTests.WriteThroughMount mount) : IClassFixture<MemFsWriteThroughPosixTests.WriteThroughMount>
{
    /// <summary>The cases.</summary>
    public static TheoryData<string> Cases => MemFsPosixTests.Cases;

    [FuseTheory]
    [MemberData(nameof(Cases))]
    public void Posix(string name) => PosixRows.Run(name, new PosixTarget(mount.Mount.Path));

    /// <summary>A mount of that kind.</summary>
    public sealed class WriteThroughMount : IDisposable
    {
        internal MemFsMount Mount { get; } = new(new MemFs { KeepsCache = false }, writebackCache: false);

        /// <inheritdoc/>
        public void Dispose() => Mount.Dispose();
    }
}
