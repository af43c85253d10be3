using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite sync POOL: what sync(2) cannot ask of a FUSE daemon.</summary>
internal static class SyncCommand
{
    internal static Command Build(CommandIo io)
    {
        var command = new Command("sync", "Returns when everything written before is on stable storage.");
        Argument<string[]> targets = CommonOptions.Targets("Pool, mount point or device; none: every mounted pool.");
        command.Arguments.Add(targets);
        command.SetAction(parsed =>
        {
            foreach (ControlClient client in Mounted.Clients(parsed.GetValue(targets) ?? [], "sync"))
            {
                client.Send(new ControlRequest { Command = "sync" });
            }

            return ExitCode.Ok;
        });
        return command;
    }
}
