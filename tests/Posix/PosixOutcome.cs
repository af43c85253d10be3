namespace ZfsLite.Tests.Posix;

/// <summary>How a case went.</summary>
/// <param name="Case">The case.</param>
/// <param name="Skipped">Why it did not run, or null.</param>
/// <param name="Error">What was wrong, or null.</param>
/// <param name="Seconds">How long it took.</param>
public sealed record PosixOutcome(PosixCase Case, string? Skipped, string? Error, double Seconds);
