using Xunit;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.TestKit;

/// <summary>A theory for the simulator: skipped in a process on the OS back end.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SimTheoryAttribute : TheoryAttribute
{
    /// <summary>Skips unless ZFSLITE_SPL=sim.</summary>
    public SimTheoryAttribute()
    {
        if (!SplPlatform.IsSimulated)
        {
            Skip = "needs ZFSLITE_SPL=sim";
        }
    }
}
