using System.Globalization;

namespace ZfsLite.Torture;

/// <summary>What a run of one kind came to.</summary>
/// <param name="Kind">kmem, crash, images or kill.</param>
/// <param name="Unit">What is counted.</param>
/// <param name="Now">How many in this run.</param>
/// <param name="Seconds">Its time.</param>
/// <param name="Total">How many in all runs that went on from one another.</param>
/// <param name="Aim">How many the long form does.</param>
/// <param name="Wrong">What was wrong; null: nothing.</param>
internal sealed record TortureSummary(string Kind, string Unit, long Now, double Seconds, long Total, long Aim, string? Wrong)
{
    /// <summary>Those of this process, in their order.</summary>
    internal static List<TortureSummary> All { get; } = [];

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Kind,-6}  {Now:N0} {Unit} in this run ({Now / Math.Max(Seconds, 0.001):N1}/s), {Total:N0} of {Aim:N0} in all; {(Wrong is null ? "nothing lost, nothing wrong" : $"WRONG: {Wrong}")}; on to the end: ./fuse-test.sh torture {Kind} --resume");
}
