namespace ZfsLite.Cli;

/// <summary>
/// The one way a command fails: a line that says what is wrong and, after a semicolon, what to type or do. It never carries a
/// stack trace to the user.
/// </summary>
public sealed class CliException : Exception
{
    /// <summary>Makes one. <paramref name="hint"/> is the way out, or null when the problem names it already.</summary>
    public CliException(string problem, string? hint = null, int exitCode = Cli.ExitCode.Failed)
        : base(hint is null ? problem : $"{problem}; {hint}") => ExitCode = exitCode;

    /// <summary>What the process returns.</summary>
    public int ExitCode { get; }

    /// <summary>Wrong use: what is wrong, and what to type instead.</summary>
    public static CliException Usage(string problem, string type) => new(problem, $"type: {type}", Cli.ExitCode.Usage);

    /// <summary>The message as one line, whatever an exception text held.</summary>
    public static string OneLine(string text) =>
        string.Join(' ', text.Split(['\r', '\n', '\t'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
}
