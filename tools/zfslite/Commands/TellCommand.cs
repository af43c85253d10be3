using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>Commands that tell mounted pools to do something, and return when it is done.</summary>
internal static class TellCommand
{
    /// <summary>zfslite sync POOL: what sync(2) cannot ask of a FUSE daemon.</summary>
    internal static Command BuildSync() => Build("sync", "Returns when everything written before is on stable storage.");

    /// <summary>zfslite clear POOL: a suspended pool tries again what its devices failed.</summary>
    internal static Command BuildClear() => Build("clear", "Lets a suspended pool try again what its devices failed; returns when that went well.");

    private static Command Build(string name, string description)
    {
        var command = new Command(name, description);
        Argument<string[]> targets = CommonOptions.Targets("Pool, mount point or device; none: every mounted pool.");
        command.Arguments.Add(targets);
        command.SetAction(parsed =>
        {
            foreach (ControlClient client in Mounted.Clients(parsed.GetValue(targets) ?? [], name))
            {
                client.Send(new ControlRequest { Command = name });
            }

            return ExitCode.Ok;
        });
        return command;
    }
}
