namespace ZfsLite.Fs;

/// <summary>What happened to the requests of one kind so far.</summary>
/// <param name="Opcode">The kind.</param>
/// <param name="Count">How many were handled.</param>
/// <param name="Errors">How many of them were answered with an error.</param>
/// <param name="TotalNs">Time spent in them, nanoseconds, waits included.</param>
/// <param name="MaxNs">The longest.</param>
public readonly record struct FuseOpStats(FuseOpcode Opcode, long Count, long Errors, long TotalNs, long MaxNs);
