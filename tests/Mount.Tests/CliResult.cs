namespace ZfsLite.Tests.Mount;

/// <summary>What a run of the command left.</summary>
public sealed record CliResult(int ExitCode, string Output, string Error);
