using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>A fact that mounts; skipped, saying why, where that can't be done.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class RootMountFactAttribute : FactAttribute
{
    /// <summary>Makes one.</summary>
    public RootMountFactAttribute()
    {
        if (!File.Exists("/dev/fuse"))
        {
            Skip = "there is no /dev/fuse";
        }
        else if (Environment.UserName != "root")
        {
            Skip = "mounting here needs root";
        }
    }
}
