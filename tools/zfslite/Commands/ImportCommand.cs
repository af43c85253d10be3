using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite import --list DIR</summary>
internal static class ImportCommand
{
    private static readonly TableColumn<ImportRow>[] s_columns =
    [
        new("POOL", p => p.Pool),
        new("GUID", p => p.Guid),
        new("STATE", p => p.State),
        new("VERSION", p => p.Version.ToString(), true),
        new("TXG", p => p.Txg.ToString(), true),
        new("DEVICES", p => string.Join(' ', p.Devices.Select(d => p.LogDevices.Contains(d) ? $"log {d}" : d)) + (p.Missing.Count > 0 ? $" (missing: {string.Join(", ", p.Missing)})" : "")),
    ];

    internal static Command Build(CommandIo io)
    {
        var command = new Command("import", "Finds pools.");
        Option<string?> list = new("--list") { Description = "Look at every file and block device in this directory.", HelpName = "DIR" };
        Option<bool> json = CommonOptions.Json();
        command.Options.Add(list);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            string directory = parsed.GetValue(list) ?? throw CliException.Usage("import: no directory given", CommandLine.UsageOf("import"));
            if (!Directory.Exists(directory))
            {
                throw new CliException($"the directory {directory} does not exist", "give the directory that holds the pool's files");
            }

            io.Rows(PoolFinder.Find(Path.GetFullPath(directory)), parsed.GetValue(json), ControlJson.Default.ListImportRow, s_columns);
            return ExitCode.Ok;
        });
        return command;
    }
}
