namespace ZfsLite.Fs;

/// <summary>One piece of a gathered write.</summary>
/// <param name="Data">Bytes in memory.</param>
/// <param name="Length">How many.</param>
public readonly unsafe record struct IoSegment(nint Data, int Length);
