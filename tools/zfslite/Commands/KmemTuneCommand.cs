using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite kmem get [POOL|DIR] CACHE [ATTRIBUTE…], and zfslite kmem set [POOL|DIR] CACHE ATTRIBUTE=VALUE…</summary>
internal static class KmemTuneCommand
{
    private const string GetUsage = "zfslite kmem get [POOL|DIR] CACHE [ATTRIBUTE]";
    private const string SetUsage = "zfslite kmem set [POOL|DIR] CACHE ATTRIBUTE=VALUE";

    private static readonly TableColumn<KmemTunableRow>[] s_columns =
    [
        new("CACHE", r => r.Cache),
        new("ATTRIBUTE", r => r.Attribute),
        new("VALUE", r => r.Value),
        new("SETTABLE", r => r.Writable ? "yes" : "-"),
    ];

    internal static Command BuildGet(CommandIo io)
    {
        var command = new Command("get", "Shows the attributes of a slab cache, by their names in /sys/kernel/slab.");
        Argument<string[]> words = CommonOptions.Words("cache", "Pool or mount point (if more than one is mounted), cache, attributes.");
        Option<bool> json = CommonOptions.Json();
        command.Arguments.Add(words);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            (ControlClient client, string cache, string[] names) = Split(parsed.GetValue(words) ?? [], GetUsage);
            List<KmemTunableRow> rows = client.Ask(
                new ControlRequest { Command = "kmem_get", Cache = cache, Names = [.. names] }, ControlJson.Default.ListKmemTunableRow);
            io.Rows(rows, parsed.GetValue(json), ControlJson.Default.ListKmemTunableRow, s_columns);
            return ExitCode.Ok;
        });
        return command;
    }

    internal static Command BuildSet(CommandIo io)
    {
        _ = io;
        var command = new Command("set", "Sets attributes of a slab cache while it is in use: cpu_queue_size, batch_size, shared_queue_size, alien_queue_size, min_partial; expire=1 and shrink=1 give memory back.");
        Argument<string[]> words = CommonOptions.Words("cache-and-values", "Pool or mount point (if more than one is mounted), cache, ATTRIBUTE=VALUE words.");
        command.Arguments.Add(words);
        command.SetAction(parsed =>
        {
            string[] all = parsed.GetValue(words) ?? [];
            string[] pairs = [.. all.Where(IsPair)];
            if (pairs.Length == 0)
            {
                throw CliException.Usage("kmem set: no attribute=value given", SetUsage);
            }

            (ControlClient client, string cache, string[] more) = Split([.. all.Where(static w => !IsPair(w))], SetUsage);
            if (more.Length > 0)
            {
                throw CliException.Usage($"kmem set: '{more[0]}' is not attribute=value", SetUsage);
            }

            var values = new Dictionary<string, string>(StringComparer.Ordinal);
            foreach (string pair in pairs)
            {
                int equals = pair.IndexOf('=', StringComparison.Ordinal);
                values[pair[..equals]] = pair[(equals + 1)..];
            }

            client.Send(new ControlRequest { Command = "kmem_set", Cache = cache, Values = values });
            return ExitCode.Ok;
        });
        return command;
    }

    private static bool IsPair(string word) => word.IndexOf('=', StringComparison.Ordinal) > 0;

    /// <summary>The daemon, named by the first word or the only one there is; the cache; the rest.</summary>
    private static (ControlClient Client, string Cache, string[] More) Split(string[] words, string usage)
    {
        if (words.Length == 0)
        {
            throw CliException.Usage("kmem: no cache given", usage);
        }

        if (words.Length > 1 && ControlClient.Find(words[0]) is { } named)
        {
            return (named, words[1], words[2..]);
        }

        return (Mounted.Only("kmem", usage), words[0], words[1..]);
    }
}
