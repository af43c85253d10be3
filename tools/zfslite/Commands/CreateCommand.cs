using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite create POOL DEVICE… [log DEVICE…] [--size 1G] [-o property=value]…</summary>
internal static class CreateCommand
{
    /// <summary>Smallest device of a pool: ZFS's own limit.</summary>
    internal const long DeviceBytesMin = 64L << 20;

    internal static Command Build(CommandIo io)
    {
        var command = new Command("create", "Makes a pool on files or block devices; on several, data is spread over all of them (no redundancy).");
        Argument<string> pool = new("pool") { Description = "Name of the new pool.", HelpName = "POOL" };
        Argument<string[]> devices = new("device") { Description = "A file (made, sparse, with --size) or a block device. Those after the word log are for the intent log alone.", HelpName = "DEVICE", Arity = ArgumentArity.OneOrMore };
        Option<string?> size = new("--size") { Description = "Make each file that does not exist, with this size: 64M at least.", HelpName = "SIZE" };
        Option<int?> ashift = new("--ashift") { Description = "Smallest block as a power of two: 9 (512 bytes, the default) or 12 (4 KiB)." };
        Option<string[]> properties = new("-o") { Description = "A property of the root file system: atime, compression, checksum, recordsize, copies, sync, logbias.", HelpName = "property=value", Arity = ArgumentArity.ZeroOrMore };
        command.Arguments.Add(pool);
        command.Arguments.Add(devices);
        command.Options.Add(size);
        command.Options.Add(ashift);
        command.Options.Add(properties);
        command.SetAction(parsed => Run(
            io, parsed.GetRequiredValue(pool), parsed.GetRequiredValue(devices), parsed.GetValue(size), parsed.GetValue(ashift), parsed.GetValue(properties) ?? []));
        return command;
    }

    private static int Run(CommandIo io, string pool, string[] devices, string? size, int? ashift, string[] properties)
    {
        CheckPoolName(pool);
        if (ashift is not (null or 9 or 12))
        {
            throw CliException.Usage($"create: --ashift is 9 or 12, not {ashift}", CommandLine.UsageOf("create"));
        }

        Dictionary<string, string> values = PropertyText.ParsePairs(properties, "create");
        long? bytes = ParseSize(size, "create");
        (string[] paths, string[] logs) = SplitAtLog(devices, "create");
        long made = PoolCreator.Create(pool, paths, logs, bytes, ashift ?? 9, values);
        io.Out.WriteLine($"pool {pool} made on {string.Join(' ', paths)}{(logs.Length > 0 ? $", log on {string.Join(' ', logs)}" : "")}, {ByteSize.Format(made)}");
        return ExitCode.Ok;
    }

    /// <summary>The value of --size; null if it was not given.</summary>
    internal static long? ParseSize(string? size, string command) =>
        size is null ? null
        : ByteSize.TryParse(size, out long bytes) ? bytes
        : throw CliException.Usage($"{command}: '{size}' is not a size", "a size such as 64M, 1G or 2T");

    /// <summary>What stands before the word log, and the devices after it, as full paths. There must be some on both sides of it.</summary>
    internal static (string[] Before, string[] Logs) SplitAtLog(string[] words, string command)
    {
        int at = Array.IndexOf(words, "log");
        string[] before = at < 0 ? words : words[..at];
        string[] logs = at < 0 ? [] : words[(at + 1)..];
        return before.Length == 0 || (at >= 0 && logs.Length == 0)
            ? throw CliException.Usage($"{command}: no device {(before.Length == 0 ? "before" : "after")} the word log", CommandLine.UsageOf(command))
            : ([.. before.Select(Path.GetFullPath)], [.. logs.Select(Path.GetFullPath)]);
    }

    /// <summary>The names that ZFS allows for a pool.</summary>
    internal static void CheckPoolName(string pool)
    {
        string[] reserved = ["mirror", "raidz", "spare", "log", "cache", "root"];
        bool wellFormed = pool.Length is > 0 and <= 200 && char.IsAsciiLetter(pool[0])
            && pool.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.' or ':');
        if (!wellFormed)
        {
            throw CliException.Usage(
                $"'{pool}' is not a pool name: a letter first, then letters, digits, '_', '-', '.', ':'", CommandLine.UsageOf("create"));
        }

        bool isDiskName = pool.Length > 1 && pool[0] == 'c' && char.IsAsciiDigit(pool[1]);
        if (isDiskName || reserved.Any(r => r is "mirror" or "raidz" or "spare" ? pool.StartsWith(r, StringComparison.Ordinal) : pool == r))
        {
            throw CliException.Usage($"'{pool}' is reserved: ZFS would take it for a kind of device", CommandLine.UsageOf("create"));
        }
    }
}
