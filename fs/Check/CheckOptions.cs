namespace ZfsLite.Fs;

/// <summary>How thorough a check is.</summary>
public sealed class CheckOptions
{
    /// <summary>Reads every copy of file data too (metadata is always read). Default true.</summary>
    public bool ReadData { get; init; } = true;

    /// <summary>Findings kept; further ones are only counted.</summary>
    public int MaxFindings { get; init; } = 1000;

    /// <summary>Told how far the check is, from 0 to 1, and what it is at.</summary>
    public Action<double, string>? Progress { get; init; }
}
