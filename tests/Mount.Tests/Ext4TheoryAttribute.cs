using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>A theory on ext4 on a loop device; skipped, saying why, where the machine has none.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class Ext4TheoryAttribute : TheoryAttribute
{
    /// <summary>Makes one.</summary>
    public Ext4TheoryAttribute() => Skip = Reason();

    /// <summary>Why ext4 can't be mounted here, or null.</summary>
    internal static string? Reason() =>
        !string.Equals(Environment.UserName, "root", StringComparison.Ordinal) ? "needs root to mount ext4"
        : !File.Exists("/sbin/mkfs.ext4") && !File.Exists("/usr/sbin/mkfs.ext4") ? "mkfs.ext4 is not installed (package e2fsprogs)"
        : !File.Exists("/dev/loop-control") ? "there are no loop devices"
        : !File.ReadLines("/proc/filesystems").Any(static l => l.EndsWith("\text4", StringComparison.Ordinal)) ? "the kernel has no ext4"
        : null;
}
