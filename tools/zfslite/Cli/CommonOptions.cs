using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>Options and arguments that several commands share.</summary>
internal static class CommonOptions
{
    internal static Option<bool> Json() => new("--json") { Description = "Print JSON instead of a table." };

    internal static Option<string?> Dataset() => new("--dataset") { Description = "A child file system or snapshot of the pool, as pool/fs, fs or fs@snap.", HelpName = "NAME" };

    internal static Option<bool> WithoutLog() => new("-m") { Description = "Do without log devices that are missing; what was fsynced and lies there alone is lost." };

    internal static Argument<string[]> Targets(string description) =>
        new("target") { Description = description, HelpName = "POOL|DIR|DEVICE", Arity = ArgumentArity.ZeroOrMore };

    internal static Argument<string[]> Words(string name, string description) =>
        new(name) { Description = description, Arity = ArgumentArity.ZeroOrMore };
}
