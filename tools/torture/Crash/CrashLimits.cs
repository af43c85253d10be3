namespace ZfsLite.Torture;

/// <summary>How much of a crash schedule is run.</summary>
/// <param name="Steps">Changes and syncs of all workers together.</param>
/// <param name="ExhaustiveMax">At a point with at most so many images all of them are tried.</param>
/// <param name="RandomCount">At others, so many at random beside the corners.</param>
/// <param name="RecrashOneIn">One recovery in so many is crashed too.</param>
internal sealed record CrashLimits(int Steps, int ExhaustiveMax, int RandomCount, int RecrashOneIn)
{
    /// <summary>What one seed of a long run does.</summary>
    internal static readonly CrashLimits Long = new(60, 64, 6, 8);
}
