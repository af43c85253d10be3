namespace ZfsLite.Fs;

/// <summary>One thing that a check found.</summary>
/// <param name="Severity">How bad it is.</param>
/// <param name="Dataset">Dataset, "MOS", or the path of a device.</param>
/// <param name="Object">Object number; 0 where there is none.</param>
/// <param name="Message">What is wrong, in one line.</param>
public sealed record CheckFinding(CheckSeverity Severity, string Dataset, ulong Object, string Message)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Severity.ToString().ToLowerInvariant()}: {Dataset}{(Object != 0 ? $" object {Object}" : "")}: {Message}";
}
