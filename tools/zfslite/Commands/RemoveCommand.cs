using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite remove POOL|DIR|DEVICE… LOGDEVICE [-m]</summary>
internal static class RemoveCommand
{
    internal static Command Build()
    {
        var command = new Command("remove", "Takes a log device out of a pool, mounted or not.");
        Argument<string[]> words = CommonOptions.Words("target-and-device", "Pool, mount point or devices, then the log device: its path, or its guid if it is missing.");
        Option<bool> withoutLog = CommonOptions.WithoutLog();
        command.Arguments.Add(words);
        command.Options.Add(withoutLog);
        command.SetAction(parsed => Run(parsed.GetValue(words) ?? [], parsed.GetValue(withoutLog)));
        return command;
    }

    private static int Run(string[] words, bool withoutLog)
    {
        if (words.Length < 2)
        {
            throw CliException.Usage(words.Length == 0 ? "remove: no pool given" : "remove: no log device given", CommandLine.UsageOf("remove"));
        }

        string device = IsGuid(words[^1]) ? words[^1] : Path.GetFullPath(words[^1]);

        // Of a pool that is not mounted the device is one of those that it is opened with, if it is there.
        string[] target = ControlClient.Find(words[0]) is null && File.Exists(device) && !words[..^1].Any(w => Path.GetFullPath(w) == device)
            ? [.. words[..^1], device]
            : words[..^1];
        return Mounted.Ask(
            target,
            readOnly: false,
            client =>
            {
                client.Send(new ControlRequest { Command = "remove_log", Names = [device] });
                return ExitCode.Ok;
            },
            pool =>
            {
                pool.RemoveLog(device);
                return ExitCode.Ok;
            },
            withoutLog);
    }

    private static bool IsGuid(string word) => word.Length == 16 && word.All(char.IsAsciiHexDigitLower) && !File.Exists(word);
}
