using System.CommandLine;
using System.Globalization;
using Spectre.Console;
using ZfsLite.Kmem;

namespace ZfsLite.Lab;

/// <summary>The commands growth-race and held-lock. Both run in the simulator.</summary>
internal static class RaceCommand
{
    private const int DefaultRuns = 50;

    internal static Command Build(string name, string description)
    {
        Option<string> policy = new("--policy")
        {
            Description = "none, pushpage, emergency, txcookie or fstrans",
            DefaultValueFactory = static _ => "fstrans",
        };
        policy.AcceptOnlyFromAmong([.. Enum.GetValues<KmemPolicy>().Select(Name)]);
        Option<ulong> seed = new("--seed") { Description = "seed of the first schedule", DefaultValueFactory = static _ => 1 };
        Option<int> runs = new("--runs")
        {
            Description = "how many schedules to try; stops at the first that does not complete",
            DefaultValueFactory = static _ => DefaultRuns,
        };
        runs.Validators.Add(static r =>
        {
            if (r.GetValueOrDefault<int>() < 1)
            {
                r.AddError("--runs is at least 1");
            }
        });
        Option<string> kind = new("--cache") { Description = "the slabs of the contested cache: vmem (mapped) or kmem (contiguous)", DefaultValueFactory = static _ => "vmem" };
        kind.AcceptOnlyFromAmong("vmem", "kmem");
        Option<string?> svg = new("--svg") { Description = "where to write the picture of a deadlock" };
        var command = new Command(name, description) { policy, seed, runs, svg };
        Option<bool> noReserve = new("--no-reserve") { Description = "under fstrans: who holds the lock does not ask for the reserve" };
        command.Options.Add(name == "growth-race" ? kind : noReserve);

        command.SetAction(parsed => Run(
            new RaceOptions
            {
                Scenario = name,
                Policy = Enum.Parse<KmemPolicy>(parsed.GetValue(policy)!, ignoreCase: true),
                Seed = parsed.GetValue(seed),
                Mapped = name != "growth-race" || parsed.GetValue(kind) == "vmem",
                Reserve = name == "growth-race" || !parsed.GetValue(noReserve),
            },
            parsed.GetValue(runs),
            parsed.GetValue(svg)));
        return command;
    }

    private static int Run(RaceOptions options, int runs, string? svg)
    {
        // Before the first use of the Spl layer, which reads it once.
        Environment.SetEnvironmentVariable("ZFSLITE_SPL", "sim");
        RaceResult result = RaceRunner.Search(options, runs, out int tried);
        var table = new Table().Border(TableBorder.Rounded).AddColumn(options.Scenario).AddColumn(new TableColumn(string.Empty).RightAligned());
        Row(table, "policy", Name(options.Policy));
        Row(table, "slabs", options.Mapped ? "vmem" : "kmem");
        Row(table, "seed", Text(result.Options.Seed));
        Row(table, "schedules tried", Text(tried));
        Row(table, "outcome", result.Deadlock is not null ? "DEADLOCK" : result.Completed ? "completed" : "failed");
        Row(table, "time of the last, ms", Text(result.TimeNs / 1_000_000));
        if (result.Cache is { } cache)
        {
            Row(table, "most slabs", Text(cache.SlabsMax));
            Row(table, "waits for a growth in vain", Text(cache.GrowthDeadlocks));
            Row(table, "most emergency objects", Text(cache.EmergencyMax));
        }

        AnsiConsole.Write(table);
        if (result.Deadlock is null)
        {
            if (result.Failure is not null)
            {
                Console.Out.WriteLine(result.Failure);
            }

            return result.Completed ? LabCommand.ExitOk : LabCommand.ExitFailure;
        }

        Console.Out.WriteLine(result.Deadlock.ToText());
        svg ??= $"{options.Scenario}-{Name(options.Policy)}-{result.Options.Seed}.svg";
        File.WriteAllText(svg, result.Deadlock.ToSvg());
        string kind = options.Mapped ? string.Empty : " --cache kmem";
        Console.Out.WriteLine($"Picture: {svg}");
        Console.Out.WriteLine($"Again:   lab {options.Scenario} --policy {Name(options.Policy)}{kind} --seed {result.Options.Seed} --runs 1");
        return LabCommand.ExitDeadlock;
    }

    private static string Name(KmemPolicy policy) => policy.ToString().ToLowerInvariant();

    private static string Text<T>(T value)
        where T : IFormattable => value.ToString("N0", CultureInfo.InvariantCulture);

    private static void Row(Table table, string name, string value) => table.AddRow(new Text(name), new Text(value));
}
