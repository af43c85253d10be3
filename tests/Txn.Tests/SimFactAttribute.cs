using ZfsLite.Kmem.Spl;

namespace ZfsLite.Tests.Txn;

/// <summary>A fact about the simulator; skipped on the OS back end.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class SimFactAttribute : FactAttribute
{
    public SimFactAttribute()
    {
        if (!SplPlatform.IsSimulated)
        {
            Skip = "simulator only: ZFSLITE_SPL=sim";
        }
    }
}
