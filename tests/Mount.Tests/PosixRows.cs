using Xunit;
using ZfsLite.Tests.Posix;

namespace ZfsLite.Tests.Mount;

/// <summary>The cases of tests/Posix as rows of a theory: those that apply to a file system and that the suite has time for.</summary>
internal static class PosixRows
{
    /// <summary>Names of cases.</summary>
    /// <param name="kind">The file system.</param>
    /// <param name="has">What the mount offers: cases that need more are no rows.</param>
    /// <param name="subject">Of this subject alone, or of all.</param>
    internal static TheoryData<string> For(FileSystemKind kind, PosixNeeds has, string? subject = null) =>
        [.. PosixCatalog.All.Where(c => (c.Except & kind) == 0 && (c.Needs & ~has) == 0 && (subject is null || c.Subject == subject)).Select(static c => c.Name)];

    /// <summary>Runs one; a reason to skip that the rows did not foresee is a failure.</summary>
    internal static void Run(string name, PosixTarget target)
    {
        PosixCase posixCase = PosixCatalog.Find(name);
        Assert.Null(target.ReasonToSkip(posixCase));
        posixCase.Run(target);
    }
}
