using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>
/// Hidden commands that scripts call: the helpers of mount(8) and umount(8).
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
            MountOptions parsedOptions = MountOptions.Parse(WithoutTableDefaults(options));
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

    /// <summary>
    /// On a remount mount(8) merges the words of the mount table into those of the user. There "relatime" is what the kernel
    /// says of every FUSE mount, not a wish.
    /// </summary>
    internal static IEnumerable<string> WithoutTableDefaults(IEnumerable<string> options)
    {
        List<string> words = [.. options.SelectMany(static o => o.Split(','))];
        bool merged = words.Contains("remount") && words.Exists(static w => w.StartsWith("user_id=", StringComparison.Ordinal));
        return merged ? words.Where(static w => w != "relatime") : words;
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
