using System.CommandLine;
using System.Text.Json;

namespace ZfsLite.Cli;

/// <summary>zfslite check DEVICE…: exit code 0 clean, 3 errors found, 1 could not be walked.</summary>
internal static class CheckCommand
{
    private const int ErrorLinesMax = 50;

    internal static Command Build(CommandIo io)
    {
        var command = new Command("check", "Walks a whole pool offline: checksums, space maps, accounts, link counts, delete queue. Changes nothing.");
        Argument<string[]> devices = new("device") { Description = "The pool's device.", HelpName = "DEVICE", Arity = ArgumentArity.OneOrMore };
        Option<bool> json = CommonOptions.Json();
        command.Arguments.Add(devices);
        Option<bool> withoutLog = CommonOptions.WithoutLog();
        command.Options.Add(json);
        command.Options.Add(withoutLog);
        command.SetAction(parsed => Run(io, parsed.GetRequiredValue(devices), parsed.GetValue(withoutLog), parsed.GetValue(json)));
        return command;
    }

    private static int Run(CommandIo io, string[] devices, bool withoutLog, bool json)
    {
        CheckInfo result = OfflineCheck.Run(io, [.. devices.Select(Path.GetFullPath)], withoutLog, showProgress: !json);
        if (json)
        {
            io.Out.WriteLine(JsonSerializer.Serialize(result, ControlJson.Default.CheckInfo));
        }
        else
        {
            Print(io, result);
        }

        return result.Clean ? ExitCode.Ok : ExitCode.CheckFoundErrors;
    }

    private static void Print(CommandIo io, CheckInfo result)
    {
        foreach (string error in result.Errors.Take(ErrorLinesMax))
        {
            io.Out.WriteLine($"error: {CliException.OneLine(error)}");
        }

        foreach (string note in result.Notes)
        {
            io.Out.WriteLine($"note: {CliException.OneLine(note)}");
        }

        string walked = $"{result.Datasets} datasets, {result.Objects} files, {result.Blocks} blocks, {ByteSize.Format(result.Bytes)}, txg {result.Txg}, {result.Seconds:F1} s";
        io.Out.WriteLine(result.Clean
            ? $"pool {result.Pool} is clean: {walked}"
            : $"pool {result.Pool} has {result.ErrorCount} error(s): {walked}");
    }
}
