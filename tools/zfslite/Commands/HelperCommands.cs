using System.CommandLine;
using System.Net.Sockets;

namespace ZfsLite.Cli;

/// <summary>
/// Hidden commands that scripts call: the helpers of mount(8) and umount(8), and a listening socket that Debian's zdb wants to
/// find where the zfs-fuse daemon would be.
/// </summary>
internal static class HelperCommands
{
    /// <summary>mount.fuse.zfslite DEVICE DIR [-sfnv] [-t type] [-o options], as mount(8) calls it.</summary>
    internal static Command BuildMount(CommandIo io)
    {
        var command = new Command("mount-helper", "Called by mount(8).") { Hidden = true };
        Argument<string[]> words = new("words") { Arity = ArgumentArity.ZeroOrMore, CaptureRemainingTokens = true };
        command.Arguments.Add(words);
        command.SetAction(parsed =>
        {
            (List<string> paths, List<string> options, bool fake) = ParseMountWords(parsed.GetValue(words) ?? []);
            MountOptions parsedOptions = MountOptions.Parse(options);
            return fake
                ? ExitCode.Ok
                : MountCommand.Run(io, MountCommand.Settings([.. paths], parsedOptions, null, null, null, background: true, trace: false, null));
        });
        return command;
    }

    /// <summary>umount.fuse.zfslite DIR [-nlfvr] [-t type], as umount(8) calls it.</summary>
    internal static Command BuildUnmount()
    {
        var command = new Command("umount-helper", "Called by umount(8).") { Hidden = true };
        Argument<string[]> words = new("words") { Arity = ArgumentArity.ZeroOrMore, CaptureRemainingTokens = true };
        command.Arguments.Add(words);
        command.SetAction(parsed =>
        {
            (List<string> paths, _, _) = ParseMountWords(parsed.GetValue(words) ?? []);
            return paths.Count == 1
                ? UnmountCommand.Run(new CommandIo(Console.Out, Console.Error), paths[0])
                : throw CliException.Usage("umount.fuse.zfslite: one directory is needed", "umount DIR");
        });
        return command;
    }

    /// <summary>zfslite zdb-socket PATH: listens there until the process is ended. zdb connects and never talks.</summary>
    internal static Command BuildZdbSocket()
    {
        var command = new Command("zdb-socket", "Listens where zdb looks for the zfs-fuse daemon.") { Hidden = true };
        Argument<string> path = new("path");
        command.Arguments.Add(path);
        command.SetAction(parsed =>
        {
            string socketPath = parsed.GetRequiredValue(path);
            Directory.CreateDirectory(Path.GetDirectoryName(socketPath)!);
            File.Delete(socketPath);
            using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            listener.Bind(new UnixDomainSocketEndPoint(socketPath));
            listener.Listen(8);
            for (; listener.LocalEndPoint is not null;)
            {
                listener.Accept().Dispose();
            }

            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>Splits what mount(8) and umount(8) pass: paths, -o values, and whether -f (fake) was among the flags of mount.</summary>
    internal static (List<string> Paths, List<string> Options, bool Fake) ParseMountWords(IReadOnlyList<string> words)
    {
        List<string> paths = [];
        List<string> options = [];
        bool fake = false;
        for (int i = 0; i < words.Count; i++)
        {
            string word = words[i];
            if (word is "-o" or "-t" or "-N")
            {
                i++;
                if (word == "-o" && i < words.Count)
                {
                    options.Add(words[i]);
                }
            }
            else if (word.StartsWith('-') && word.Length > 1)
            {
                fake |= word.Contains('f', StringComparison.Ordinal);
            }
            else
            {
                paths.Add(word);
            }
        }

        return (paths, options, fake);
    }
}
