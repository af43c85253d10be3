using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite unmount DIR: returns when the pool is closed.</summary>
internal static class UnmountCommand
{
    internal static Command Build(CommandIo io)
    {
        var command = new Command("unmount", "Unmounts; returns when the last transaction group is written and the pool is closed.");
        command.Aliases.Add("umount");
        Argument<string> target = new("dir") { Description = "The mount point (or the pool's name, or its device).", HelpName = "DIR" };
        command.Arguments.Add(target);
        command.SetAction(parsed => Run(io, parsed.GetRequiredValue(target)));
        return command;
    }

    internal static int Run(CommandIo io, string target)
    {
        if (ControlClient.Find(target) is { } client)
        {
            client.Send(new ControlRequest { Command = "unmount" });
            WaitGone(client.Hello.Pid);
            return ExitCode.Ok;
        }

        string directory = Path.GetFullPath(target);
        if (MountPoint.Find(directory) is not { } mounted)
        {
            throw new CliException($"{target} is not mounted by zfslite", "see what is: zfslite status");
        }

        if (mounted.Type != "fuse.zfslite")
        {
            throw new CliException($"{directory} is a {mounted.Type} mount, not one of zfslite", $"type: umount {directory}");
        }

        MountPoint.Detach(directory);
        io.Error.WriteLine($"zfslite: the daemon of {directory} was gone; the dead mount is removed (what was not synced before it died is lost)");
        return ExitCode.Ok;
    }

    /// <summary>The pool is closed when the daemon answers; its process goes away right after. Waits for that, but not for ever.</summary>
    private static void WaitGone(int pid)
    {
        for (int i = 0; i < 100 && Directory.Exists($"/proc/{pid}"); i++)
        {
            Thread.Sleep(20);
        }
    }
}
