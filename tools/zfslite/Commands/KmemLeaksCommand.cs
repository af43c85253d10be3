using System.CommandLine;
using System.Globalization;
using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>zfslite kmem leaks [POOL|DIR]</summary>
internal static class KmemLeaksCommand
{
    private static readonly TableColumn<KmemLeak>[] s_columns =
    [
        new("CACHE", l => l.Cache),
        new("LIVE", l => l.Count.ToString(CultureInfo.InvariantCulture), true),
        new("BYTES", l => l.Bytes.ToString(CultureInfo.InvariantCulture), true),
        new("OLDEST s", l => (l.OldestNs / 1e9).ToString("F1", CultureInfo.InvariantCulture), true),
        new("THREAD", l => l.OldestThread.ToString(CultureInfo.InvariantCulture), true),
        new("ALLOCATED BY", l => l.Site),
    ];

    internal static Command Build(CommandIo io)
    {
        var command = new Command("leaks", "Shows the live allocations of a daemon by cache and call site, of the caches that are watched for leaks (mount --slab-debug L).");
        Argument<string?> target = new("target") { Description = "Pool or mount point (if more than one is mounted).", HelpName = "POOL|DIR", Arity = ArgumentArity.ZeroOrOne };
        Option<bool> json = CommonOptions.Json();
        command.Arguments.Add(target);
        command.Options.Add(json);
        command.SetAction(parsed => Run(io, parsed.GetValue(target), parsed.GetValue(json)));
        return command;
    }

    private static int Run(CommandIo io, string? target, bool json)
    {
        ControlClient client = Mounted.OneOrOnly(target, "kmem leaks");
        io.Rows(client.Ask(new ControlRequest { Command = "kmem_leaks" }, ControlJson.Default.ListKmemLeak), json, ControlJson.Default.ListKmemLeak, s_columns);
        return ExitCode.Ok;
    }
}
