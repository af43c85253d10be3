using Xunit;

namespace ZfsLite.TestKit;

/// <summary>A fact that needs a golden pool; skipped, saying so, where the pool is missing.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class GoldenFactAttribute : FactAttribute
{
    /// <summary>Makes one.</summary>
    public GoldenFactAttribute(string pool)
    {
        Pool = pool;
        if (GoldenPools.Find(pool) is null)
        {
            Skip = $"golden pool '{pool}' is neither in tests/golden nor in ../shared/golden";
        }
    }

    /// <summary>Name of the pool.</summary>
    public string Pool { get; }
}
