using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite txgs POOL|DIR</summary>
internal static class TxgsCommand
{
    private static readonly TableColumn<TxgRow>[] s_columns =
    [
        new("TXG", t => t.Txg.ToString(), true),
        new("STATE", t => t.State),
        new("DIRTY", t => ByteSize.Format(t.DirtyBytes), true),
        new("OPEN ms", t => t.OpenMs.ToString("F1"), true),
        new("QUIESCE ms", t => t.QuiesceMs.ToString("F1"), true),
        new("SYNC ms", t => t.SyncMs.ToString("F1"), true),
    ];

    internal static Command Build(CommandIo io)
    {
        var command = new Command("txgs", "Shows the recent transaction groups: times, dirty bytes, states.");
        Argument<string?> target = new("target") { Description = "Pool or mount point.", HelpName = "POOL|DIR", Arity = ArgumentArity.ZeroOrOne };
        Option<bool> json = CommonOptions.Json();
        command.Arguments.Add(target);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            List<TxgRow> rows = Mounted.One(parsed.GetValue(target), "txgs").Ask(new ControlRequest { Command = "txgs" }, ControlJson.Default.ListTxgRow);
            io.Rows(rows, parsed.GetValue(json), ControlJson.Default.ListTxgRow, s_columns);
            return ExitCode.Ok;
        });
        return command;
    }
}
