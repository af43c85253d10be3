using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.TestKit;

/// <summary>A test for the OS back end: skipped in a process on the simulator.</summary>
public sealed class OsFactAttribute : FactAttribute
{
    /// <summary>Skips if ZFSLITE_SPL=sim.</summary>
    public OsFactAttribute()
    {
        if (SplPlatform.IsSimulated)
        {
            Skip = "needs the OS back end";
        }
    }
}
