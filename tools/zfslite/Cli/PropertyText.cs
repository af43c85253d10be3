namespace ZfsLite.Cli;

/// <summary>
/// Properties as people type them. The names and values accepted here are those that ZfsLite can honour; what else the v23 format
/// knows is refused by name.
/// </summary>
internal static class PropertyText
{
    private static readonly (string Name, string[] Values)[] s_settable =
    [
        ("atime", ["on", "off"]),
        ("compression", ["on", "off", "lzjb", "zle", "gzip", "gzip-1", "gzip-2", "gzip-3", "gzip-4", "gzip-5", "gzip-6", "gzip-7", "gzip-8", "gzip-9"]),
        ("checksum", ["on", "off", "fletcher2", "fletcher4", "sha256"]),
        ("recordsize", ["512", "1K", "2K", "4K", "8K", "16K", "32K", "64K", "128K"]),
        ("copies", ["1", "2", "3"]),
        ("sync", ["standard", "always", "disabled"]),
        ("logbias", ["latency", "throughput"]),
    ];

    /// <summary>Names that can be set.</summary>
    internal static IEnumerable<string> SettableNames => s_settable.Select(p => p.Name);

    /// <summary>Parses property=value words and checks each against what is known.</summary>
    internal static Dictionary<string, string> ParsePairs(IEnumerable<string> words, string command)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string word in words)
        {
            int equals = word.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                throw CliException.Usage($"{command}: '{word}' is not property=value", CommandLine.UsageOf(command));
            }

            string name = word[..equals];
            values[name] = Normalise(name, word[(equals + 1)..]);
        }

        return values;
    }

    /// <summary>The value in the form that is stored; throws a usage error that lists what is allowed.</summary>
    internal static string Normalise(string name, string value)
    {
        (string Name, string[] Values) known = s_settable.FirstOrDefault(p => p.Name == name);
        if (known.Values is null)
        {
            throw new CliException($"unknown property '{name}'", $"known: {string.Join(", ", SettableNames)}", ExitCode.Usage);
        }

        string wanted = value;
        if (name == "recordsize" && ByteSize.TryParse(value, out long bytes))
        {
            wanted = ByteSize.Format(bytes);
        }

        string? found = known.Values.FirstOrDefault(v => v.Equals(wanted, StringComparison.OrdinalIgnoreCase));
        return found ?? throw new CliException($"'{value}' is not a value of {name}", $"allowed: {string.Join(", ", known.Values)}", ExitCode.Usage);
    }
}
