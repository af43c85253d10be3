using Xunit;

namespace ZfsLite.TestKit;

/// <summary>A theory that needs the tools of zfs-fuse; skipped, saying why, where they can't be used.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class ZfsFuseTheoryAttribute : TheoryAttribute
{
    /// <summary>Makes one.</summary>
    public ZfsFuseTheoryAttribute() => Skip = ZfsFuseTools.Missing;
}
