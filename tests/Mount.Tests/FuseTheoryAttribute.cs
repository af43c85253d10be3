using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>A theory that mounts for real; skipped, saying so, where the machine can't.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class FuseTheoryAttribute : TheoryAttribute
{
    /// <summary>Makes one.</summary>
    public FuseTheoryAttribute() => Skip = FuseFactAttribute.Reason();
}
