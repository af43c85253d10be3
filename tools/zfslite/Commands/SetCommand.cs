using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite set POOL|DIR|DEVICE… PROPERTY=VALUE… [--dataset NAME]</summary>
internal static class SetCommand
{
    internal static Command Build(CommandIo io)
    {
        var command = new Command("set", "Sets properties of a dataset: atime, compression, checksum, recordsize, copies, sync, logbias, quota, refquota, reservation, refreservation, userquota@UID, groupquota@GID.");
        Argument<string[]> words = CommonOptions.Words("target-and-values", "Pool, dataset, mount point or devices, then PROPERTY=VALUE words.");
        Option<string?> dataset = CommonOptions.Dataset();
        command.Arguments.Add(words);
        command.Options.Add(dataset);
        command.SetAction(parsed => Run(parsed.GetValue(words) ?? [], parsed.GetValue(dataset)));
        return command;
    }

    private static int Run(string[] words, string? dataset)
    {
        int target = words.Length == 0 ? 0 : Mounted.TargetWords(words, static w => w.Contains('=', StringComparison.Ordinal));
        if (target == words.Length)
        {
            throw CliException.Usage(words.Length == 0 ? "set: no pool given" : "set: no property=value given", CommandLine.UsageOf("set"));
        }

        Dictionary<string, string> values = PropertyText.ParsePairs(words.Skip(target), "set");
        return Mounted.Ask(
            words[..target],
            readOnly: false,
            client =>
            {
                client.Send(new ControlRequest { Command = "set", Dataset = DatasetName.From(words[0], client.Hello, dataset), Values = values });
                return ExitCode.Ok;
            },
            pool =>
            {
                pool.Set(dataset, values);
                return ExitCode.Ok;
            });
    }
}
