using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.TestKit;

/// <summary>A test for the simulator: skipped in a process on the OS back end.</summary>
public sealed class SimFactAttribute : FactAttribute
{
    /// <summary>Skips unless ZFSLITE_SPL=sim.</summary>
    public SimFactAttribute()
    {
        if (!SplPlatform.IsSimulated)
        {
            Skip = "needs ZFSLITE_SPL=sim";
        }
    }
}
