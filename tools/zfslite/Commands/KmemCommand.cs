using System.CommandLine;

namespace ZfsLite.Cli;

/// <summary>zfslite kmem POOL|DIR; its subcommands are in classes of their own.</summary>
internal static class KmemCommand
{
    private static readonly TableColumn<SlabRow>[] s_columns =
    [
        new("CACHE", c => c.Cache),
        new("ENGINE", c => c.Engine),
        new("OBJSIZE", c => c.ObjectSize.ToString(), true),
        new("ACTIVE", c => c.Active.ToString(), true),
        new("OBJECTS", c => c.Objects.ToString(), true),
        new("SLABS", c => c.SharesSlabsOf is { } other ? $"of {other}" : c.Slabs.ToString(), true),
        new("BYTES", c => ByteSize.Format(c.Bytes), true),
        new("ALLOCS", c => c.Allocations.ToString(), true),
        new("FAILURES", c => c.Failures.ToString(), true),
    ];

    private static readonly TableColumn<MempoolRow>[] s_mempools =
    [
        new("MEMPOOL", p => p.Mempool),
        new("ELEMSIZE", p => p.ElementSize.ToString(), true),
        new("MIN", p => p.Min.ToString(), true),
        new("RESERVE", p => p.Reserve.ToString(), true),
        new("LOWEST", p => p.Lowest.ToString(), true),
        new("ALLOCS", p => p.Allocations.ToString(), true),
        new("FROMRESERVE", p => p.FromReserve.ToString(), true),
        new("WAITS", p => p.Waits.ToString(), true),
        new("WAITMS", p => p.WaitMs.ToString(), true),
    ];

    internal static Command Build(CommandIo io)
    {
        var command = new Command("kmem", "Shows a daemon's memory: watermarks, policy counters, slab table, memory pools.");
        Argument<string?> target = new("target") { Description = "Pool or mount point.", HelpName = "POOL|DIR", Arity = ArgumentArity.ZeroOrOne };
        Option<bool> json = CommonOptions.Json();
        command.Arguments.Add(target);
        command.Options.Add(json);
        command.Subcommands.Add(KmemSlabCommand.Build(io));
        command.Subcommands.Add(KmemLeaksCommand.Build(io));
        command.Subcommands.Add(KmemTuneCommand.BuildGet(io));
        command.Subcommands.Add(KmemTuneCommand.BuildSet(io));
        command.Subcommands.Add(KmemPoliciesCommand.Build(io));
        command.SetAction(parsed => Run(io, parsed.GetValue(target), parsed.GetValue(json)));
        return command;
    }

    private static int Run(CommandIo io, string? target, bool json)
    {
        KmemInfo kmem = Mounted.One(target, "kmem").Ask(new ControlRequest { Command = "kmem" }, ControlJson.Default.KmemInfo);
        if (json)
        {
            io.Record(kmem, json, ControlJson.Default.KmemInfo, []);
            return ExitCode.Ok;
        }

        io.Out.WriteLine($"arena   {ByteSize.Format(kmem.Arena)}, {ByteSize.Format(kmem.Free)} free; watermarks min {ByteSize.Format(kmem.Min)}, low {ByteSize.Format(kmem.Low)}, high {ByteSize.Format(kmem.High)}");
        io.Out.WriteLine($"policy  {kmem.Policy}");
        io.Out.WriteLine($"slabs   {kmem.SlabEngine}{(kmem.SplSlabLimit is { } limit ? $", objects of up to {limit} bytes by slubq" : "")}");
        io.Out.WriteLine($"process {ByteSize.Format(kmem.Pss)} resident (Pss)");
        io.Out.WriteLine();
        int width = kmem.Counters.Keys.Select(k => k.Length).DefaultIfEmpty(0).Max();
        foreach ((string name, long value) in kmem.Counters)
        {
            io.Out.WriteLine($"{name.PadRight(width)}  {value}");
        }

        io.Out.WriteLine();
        io.Rows(kmem.Caches, false, ControlJson.Default.ListSlabRow, s_columns);
        io.Out.WriteLine();
        io.Rows(kmem.Mempools, false, ControlJson.Default.ListMempoolRow, s_mempools);
        return ExitCode.Ok;
    }
}
