using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite clear POOL: a suspended pool tries again what its devices failed, and log devices that failed are used again.</summary>
internal static class ClearCommand
{
    internal static Command Build(CommandIo io)
    {
        var command = new Command("clear", "Lets a suspended pool try again what its devices failed, and puts log devices that failed back in use; returns when that went well.");
        Argument<string[]> targets = CommonOptions.Targets("Pool, mount point or device; none: every mounted pool.");
        command.Arguments.Add(targets);
        command.SetAction(parsed =>
        {
            foreach (ControlClient client in Mounted.Clients(parsed.GetValue(targets) ?? [], "clear"))
            {
                client.Send(new ControlRequest { Command = "clear" });
            }

            return ExitCode.Ok;
        });
        return command;
    }
}
