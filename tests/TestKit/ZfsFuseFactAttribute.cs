using Xunit;

namespace ZfsLite.TestKit;

/// <summary>A fact that needs the tools of zfs-fuse; skipped, saying why, where they can't be used.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class ZfsFuseFactAttribute : FactAttribute
{
    /// <summary>Makes one.</summary>
    public ZfsFuseFactAttribute() => Skip = ZfsFuseTools.Missing;
}
