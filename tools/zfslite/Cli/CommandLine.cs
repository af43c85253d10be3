using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using ZfsLite.Fs;

namespace ZfsLite.Cli;

/// <summary>
/// The command line of zfslite: parses, runs one command, and turns every failure into one line and an exit code
/// (<see cref="ExitCode"/>). A stack trace is printed only with ZFSLITE_DEBUG=1 in the environment.
/// </summary>
public static class CommandLine
{
    private static readonly (string Name, string Usage)[] s_usages =
    [
        ("create", "zfslite create POOL DEVICE... [log DEVICE...] [--size 1G] [--ashift 9|12] [-o property=value]..."),
        ("add", "zfslite add POOL|DIR|DEVICE... log DEVICE... [--size 1G]"),
        ("remove", "zfslite remove POOL|DIR|DEVICE... LOGDEVICE [-m]"),
        ("mount", "zfslite mount DEVICE... DIR [-o option,...] [--memory 256M] [--policy fstrans] [-m] [--background]"),
        ("unmount", "zfslite unmount DIR"),
        ("sync", "zfslite sync POOL"),
        ("status", "zfslite status [POOL|DIR|DEVICE...] [--json]"),
        ("list", "zfslite list [POOL|DIR|DEVICE...] [--json]"),
        ("get", "zfslite get POOL|DIR|DEVICE... [PROPERTY...] [--dataset NAME] [--json]"),
        ("set", "zfslite set POOL|DIR|DEVICE... PROPERTY=VALUE... [--dataset NAME]"),
        ("kmem", "zfslite kmem POOL|DIR [--json]"),
        ("slab", "zfslite kmem slab [POOL|DIR] [--json]"),
        ("policies", "zfslite kmem policies [--json]"),
        ("txgs", "zfslite txgs POOL|DIR [--json]"),
        ("check", "zfslite check DEVICE... [-m] [--json]"),
        ("import", "zfslite import --list DIR [--json]"),
    ];

    /// <summary>What to type for a command.</summary>
    public static string UsageOf(string command) =>
        s_usages.FirstOrDefault(u => u.Name == command).Usage ?? "zfslite --help";

    /// <summary>Runs a command line; returns the exit code.</summary>
    public static int Run(string[] args, TextWriter output, TextWriter error)
    {
        try
        {
            RootCommand root = BuildRoot(new CommandIo(output, error));
            ParseResult parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
            if (parsed.Errors.Count > 0 && parsed.Action is not HelpAction)
            {
                throw UsageError(parsed);
            }

            return parsed.Invoke(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
                Output = output,
                Error = error,
            });
        }
        catch (CliException e)
        {
            return Fail(error, e, e.Message, e.ExitCode);
        }
        catch (ZfsException e)
        {
            return Fail(error, e, e.Message, ExitCode.Failed);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Fail(error, e, e.Message, ExitCode.Failed);
        }
        catch (System.Net.Sockets.SocketException e)
        {
            return Fail(error, e, $"the daemon cannot be reached: {e.Message}", ExitCode.Failed);
        }
        catch (Exception e)
        {
            return Fail(error, e, $"internal error: {e.GetType().Name}: {e.Message}; for the stack, set ZFSLITE_DEBUG=1 and repeat", ExitCode.Failed);
        }
    }

    private static RootCommand BuildRoot(CommandIo io)
    {
        var root = new RootCommand("ZFS (pool version 23) as an ordinary process: make, mount, check and inspect pools in files or block devices.");
        root.Subcommands.Add(CreateCommand.Build(io));
        root.Subcommands.Add(AddCommand.Build());
        root.Subcommands.Add(RemoveCommand.Build());
        root.Subcommands.Add(MountCommand.Build(io));
        root.Subcommands.Add(UnmountCommand.Build(io));
        root.Subcommands.Add(TellCommand.BuildSync());
        root.Subcommands.Add(TellCommand.BuildClear());
        root.Subcommands.Add(StatusCommand.Build(io));
        root.Subcommands.Add(ListCommand.Build(io));
        root.Subcommands.Add(GetCommand.Build(io));
        root.Subcommands.Add(SetCommand.Build(io));
        root.Subcommands.Add(KmemCommand.Build(io));
        root.Subcommands.Add(TxgsCommand.Build(io));
        root.Subcommands.Add(CheckCommand.Build(io));
        root.Subcommands.Add(ImportCommand.Build(io));
        root.Subcommands.Add(HelperCommands.BuildMount(io));
        root.Subcommands.Add(HelperCommands.BuildUnmount());
        root.Subcommands.Add(ZdbCommand.Build(io));
        RefuseUnknownOptions(root);
        return root;
    }

    private static CliException UsageError(ParseResult parsed)
    {
        string command = parsed.CommandResult.Command is RootCommand ? "" : parsed.CommandResult.Command.Name;
        if (command.Length == 0)
        {
            string? word = parsed.Tokens.Count > 0 ? parsed.Tokens[0].Value : null;
            return CliException.Usage(word is null ? "no command given" : $"there is no command '{CliException.OneLine(word)}'", "zfslite --help");
        }

        return CliException.Usage($"{command}: {Problem(parsed.Errors[0])}", UsageOf(command));
    }

    private static string Problem(ParseError error)
    {
        switch (error.SymbolResult)
        {
            case OptionResult { Option: Option<int?> number } option when option.Tokens.Count > 0:
                return $"{number.Name} takes a whole number, not '{option.Tokens[^1].Value}'";
            case OptionResult { Tokens.Count: 0 } option:
                return $"{option.Option.Name} needs a value";
            case ArgumentResult { Tokens.Count: 0 } argument:
                return $"no {argument.Argument.HelpName ?? argument.Argument.Name} given";
            default:
                string text = CliException.OneLine(error.Message).TrimEnd('.');
                return text.Length > 0 ? char.ToLowerInvariant(text[0]) + text[1..] : "wrong use";
        }
    }

    /// <summary>A word that looks like an option and stands where a path or name belongs is a mistyped option.</summary>
    private static void RefuseUnknownOptions(Command command)
    {
        foreach (Argument argument in command.Hidden ? [] : command.Arguments)
        {
            argument.Validators.Add(static result =>
            {
                string? word = result.Tokens.Select(t => t.Value).FirstOrDefault(v => v.Length > 1 && v[0] == '-');
                if (word is not null)
                {
                    result.AddError($"unknown option '{word}'");
                }
            });
        }

        foreach (Command child in command.Subcommands)
        {
            RefuseUnknownOptions(child);
        }
    }

    private static int Fail(TextWriter error, Exception e, string message, int exitCode)
    {
        error.WriteLine($"zfslite: {CliException.OneLine(message)}");
        if (Environment.GetEnvironmentVariable("ZFSLITE_DEBUG") == "1")
        {
            error.WriteLine(e);
        }

        return exitCode;
    }
}
