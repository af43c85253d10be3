using System.CommandLine;
using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>zfslite kmem slab [POOL|DIR]</summary>
internal static class KmemSlabCommand
{
    internal static Command Build(CommandIo io)
    {
        var command = new Command("slab", "Shows a daemon's slab caches in the columns of /proc/spl/kmem/slab.");
        Argument<string?> target = new("target") { Description = "Pool or mount point (if more than one is mounted).", HelpName = "POOL|DIR", Arity = ArgumentArity.ZeroOrOne };
        Option<bool> json = CommonOptions.Json();
        command.Arguments.Add(target);
        command.Options.Add(json);
        command.SetAction(parsed => Run(io, parsed.GetValue(target), parsed.GetValue(json)));
        return command;
    }

    private static int Run(CommandIo io, string? target, bool json)
    {
        ControlClient client = Mounted.OneOrOnly(target, "kmem slab");
        List<KmemSlabLine> lines = client.Ask(new ControlRequest { Command = "kmem_slab" }, ControlJson.Default.ListKmemSlabLine);
        if (json)
        {
            io.Rows(lines, json, ControlJson.Default.ListKmemSlabLine, []);
        }
        else
        {
            io.Out.Write(KmemSlabTable.Format(lines));
        }

        return ExitCode.Ok;
    }
}
