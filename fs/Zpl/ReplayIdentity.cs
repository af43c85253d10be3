namespace ZfsLite.Fs;

/// <summary>What a file that the intent log makes again was before: its generation and its time.</summary>
internal readonly record struct ReplayIdentity(ulong Generation, long Seconds, long Nanoseconds)
{
    /// <summary>A record is being replayed.</summary>
    internal bool IsGiven { get; init; }
}
