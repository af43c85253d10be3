using System.Globalization;
using ZfsLite.Fs;

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
    internal static IEnumerable<string> SettableNames => s_settable.Select(p => p.Name).Concat(Spa.LimitNames).Append("userquota@UID").Append("groupquota@GID");

    /// <summary>Is it a quota or reservation of a dataset, or a quota of a user or group: "none", or a size?</summary>
    internal static bool IsLimit(string name) => Spa.LimitNames.Contains(name) || (ParseUser(name) is { IsUsed: false });

    /// <summary>The user or group of "userquota@1000", "groupused@100" and their like; null for other names.</summary>
    internal static (bool IsGroup, bool IsUsed, uint Id)? ParseUser(string name)
    {
        int at = name.IndexOf('@', StringComparison.Ordinal);
        return at > 0 && name[..at] is "userquota" or "groupquota" or "userused" or "groupused"
            && uint.TryParse(name.AsSpan(at + 1), NumberStyles.None, CultureInfo.InvariantCulture, out uint id)
            ? (name.StartsWith('g'), name[..at].EndsWith("used", StringComparison.Ordinal), id)
            : null;
    }

    /// <summary>A limit as people read it.</summary>
    internal static string FormatLimit(ulong bytes) => bytes == 0 ? "none" : ByteSize.Format((long)Math.Min(bytes, long.MaxValue));

    /// <summary>The bytes of a limit that <see cref="Normalise"/> has passed; 0: none.</summary>
    internal static ulong LimitBytes(string normal) => ulong.Parse(normal, CultureInfo.InvariantCulture);

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
            if (command == "create" && IsLimit(name))
            {
                throw new CliException($"create: {name} is set on a pool that is there", CommandLine.UsageOf("set"), ExitCode.Usage);
            }

            values[name] = Normalise(name, word[(equals + 1)..]);
        }

        return values;
    }

    /// <summary>The value in the form that is stored; throws a usage error that lists what is allowed.</summary>
    internal static string Normalise(string name, string value)
    {
        if (IsLimit(name))
        {
            return value is "none" or "0" ? "0"
                : ByteSize.TryParse(value, out long size) ? size.ToString(CultureInfo.InvariantCulture)
                : throw new CliException($"'{value}' is not a value of {name}", "allowed: none, or a size such as 64M, 1.5G or 2T", ExitCode.Usage);
        }

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
