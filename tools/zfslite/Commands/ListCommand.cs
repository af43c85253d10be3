using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite list [POOL|DIR|DEVICE…]</summary>
internal static class ListCommand
{
    private static readonly TableColumn<DatasetRow>[] s_columns =
    [
        new("NAME", d => d.Name),
        new("TYPE", d => d.Type),
        new("USED", d => ByteSize.Format(d.Used), true),
        new("AVAIL", d => d.Available is { } a ? ByteSize.Format(a) : "-", true),
        new("REFER", d => ByteSize.Format(d.Referenced), true),
        new("MOUNTPOINT", d => d.MountPoint ?? "-"),
    ];

    internal static Command Build(CommandIo io)
    {
        var command = new Command("list", "Lists the datasets and snapshots of a pool.");
        Argument<string[]> targets = CommonOptions.Targets("Pool, mount point or device; none: every mounted pool.");
        Option<bool> json = CommonOptions.Json();
        command.Arguments.Add(targets);
        command.Options.Add(json);
        command.SetAction(parsed => Run(io, parsed.GetValue(targets) ?? [], parsed.GetValue(json)));
        return command;
    }

    private static int Run(CommandIo io, string[] targets, bool json)
    {
        IEnumerable<DatasetRow> rows = targets.Length == 0
            ? ControlClient.All().SelectMany(AskMounted)
            : Mounted.AskEach(targets, AskMounted, static p => p.List()).SelectMany(static rows => rows);
        io.Rows([.. rows], json, ControlJson.Default.ListDatasetRow, s_columns);
        return ExitCode.Ok;
    }

    private static List<DatasetRow> AskMounted(ControlClient client) =>
        client.Ask(new ControlRequest { Command = "list" }, ControlJson.Default.ListDatasetRow);
}
