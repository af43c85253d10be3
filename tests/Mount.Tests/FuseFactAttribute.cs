using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>A fact that mounts for real; skipped, saying so, where the machine can't.</summary>
[AttributeUsage(AttributeTargets.Method)]
public class FuseFactAttribute : FactAttribute
{
    /// <summary>Makes one.</summary>
    public FuseFactAttribute() => Skip = Reason();

    /// <summary>Why nothing can be mounted here, or null.</summary>
    internal static string? Reason() =>
        !File.Exists("/dev/fuse") ? "/dev/fuse is missing: nothing can be mounted on this machine"
        : !string.Equals(Environment.UserName, "root", StringComparison.Ordinal) ? "needs root to mount"
        : null;
}
