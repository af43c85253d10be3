using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite get POOL|DIR|DEVICE… [PROPERTY…] [--dataset NAME]</summary>
internal static class GetCommand
{
    private static readonly TableColumn<PropertyRow>[] s_columns =
    [
        new("NAME", p => p.Dataset),
        new("PROPERTY", p => p.Property),
        new("VALUE", p => p.Value),
        new("SOURCE", p => p.Source),
    ];

    internal static Command Build(CommandIo io)
    {
        var command = new Command("get", "Shows properties of a dataset.");
        Argument<string[]> words = CommonOptions.Words("target-and-properties", "Pool, dataset, mount point or devices, then the properties; none: all.");
        Option<string?> dataset = CommonOptions.Dataset();
        Option<bool> json = CommonOptions.Json();
        command.Arguments.Add(words);
        command.Options.Add(dataset);
        command.Options.Add(json);
        command.SetAction(parsed => Run(io, parsed.GetValue(words) ?? [], parsed.GetValue(dataset), parsed.GetValue(json)));
        return command;
    }

    private static int Run(CommandIo io, string[] words, string? dataset, bool json)
    {
        if (words.Length == 0)
        {
            throw CliException.Usage("get: no pool given", CommandLine.UsageOf("get"));
        }

        int target = Mounted.TargetWords(words, OpenPool.IsProperty);
        List<string> names = [.. words.Skip(target).SelectMany(w => w.Split(',', StringSplitOptions.RemoveEmptyEntries)).Where(n => n != "all")];
        List<PropertyRow> rows = Mounted.Ask(
            words[..target],
            readOnly: true,
            client => client.Ask(
                new ControlRequest { Command = "get", Dataset = DatasetName.From(words[0], client.Hello, dataset), Names = names }, ControlJson.Default.ListPropertyRow),
            pool => pool.Get(dataset, names));
        io.Rows(rows, json, ControlJson.Default.ListPropertyRow, s_columns);
        return ExitCode.Ok;
    }
}
