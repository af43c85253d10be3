using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite add POOL|DIR|DEVICE… log DEVICE… [--size 1G]</summary>
internal static class AddCommand
{
    internal static Command Build()
    {
        var command = new Command("add", "Gives a pool, mounted or not, devices for its intent log.");
        Argument<string[]> words = CommonOptions.Words("target-and-devices", "Pool, mount point or devices, the word log, then the new devices.");
        Option<string?> size = new("--size") { Description = "Make each file that does not exist, with this size: 64M at least.", HelpName = "SIZE" };
        command.Arguments.Add(words);
        command.Options.Add(size);
        command.SetAction(parsed => Run(parsed.GetValue(words) ?? [], parsed.GetValue(size)));
        return command;
    }

    private static int Run(string[] words, string? size)
    {
        int at = Array.IndexOf(words, "log");
        if (at < 0)
        {
            throw CliException.Usage("add: only log devices can be added, after the word log", CommandLine.UsageOf("add"));
        }

        (_, string[] logs) = CreateCommand.SplitAtLog(words, "add");
        OpenPool.RefuseTwice([.. words[..at], .. logs]);
        return PoolCreator.WithFiles(logs, CreateCommand.ParseSize(size, "add"), () => Mounted.Ask(
            words[..at],
            readOnly: false,
            client =>
            {
                client.Send(new ControlRequest { Command = "add_log", Names = [.. logs] });
                return ExitCode.Ok;
            },
            pool =>
            {
                pool.AddLog(logs);
                return ExitCode.Ok;
            }));
    }
}
