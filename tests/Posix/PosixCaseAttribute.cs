namespace ZfsLite.Tests.Posix;

/// <summary>Marks a method as a case: it works in a directory of its own, and throws if the file system is at fault.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PosixCaseAttribute : Attribute
{
    /// <summary>File systems to which the case does not apply.</summary>
    public FileSystemKind Except { get; init; }

    /// <summary>Why not. Required with <see cref="Except"/>.</summary>
    public string? Why { get; init; }

    /// <summary>What it needs.</summary>
    public PosixNeeds Needs { get; init; }
}
