using System.CommandLine;
using System.Globalization;
using Spectre.Console;
using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Lab;

/// <summary>The command line of the laboratory.</summary>
internal static class LabCommand
{
    internal const int ExitOk = 0;
    internal const int ExitFailure = 1;
    internal const int ExitUsage = 2;
    internal const int ExitDeadlock = 3;

    private static readonly Option<string> s_policy = new("--policy")
    {
        Description = "none (2011), pushpage, emergency (2012), txcookie (2014) or fstrans (today)",
        DefaultValueFactory = static _ => Name(KmemPolicy.Fstrans),
    };

    private static readonly Option<ulong> s_seed = new("--seed")
    {
        Description = "seed of the first schedule",
        DefaultValueFactory = static _ => 1,
    };

    private static readonly Option<int> s_runs = new("--runs")
    {
        Description = "how many schedules to try; stops at the first deadlock",
        DefaultValueFactory = static _ => 1,
    };

    private static readonly Option<string> s_backend = new("--backend")
    {
        Description = "sim: deterministic simulator; os: real threads under the watchdog",
        DefaultValueFactory = static _ => "sim",
    };

    private static readonly Option<int> s_torture = new("--torture-reclaim")
    {
        Description = "every Nth unmarked sleeping allocation runs the shrinkers; 0: never",
        DefaultValueFactory = static _ => 0,
    };

    private static readonly Option<string?> s_svg = new("--svg") { Description = "where to write the picture of a deadlock" };

    private static readonly Option<bool> s_json = new("--json") { Description = "print the result as JSON" };

    /// <summary>Runs the command. Returns 0: done; 1: failed; 2: wrong use; 3: a deadlock was proven.</summary>
    internal static int Run(string[] args)
    {
        s_backend.AcceptOnlyFromAmong("sim", "os");
        s_policy.AcceptOnlyFromAmong([.. Enum.GetValues<KmemPolicy>().Select(Name)]);
        var recursive = new Command("recursive-tx", "Readers dirty atimes, writers allocate inside transactions: does a thread come to wait for itself?")
        {
            s_policy, s_seed, s_runs, s_backend, s_torture, s_svg, s_json,
        };
        recursive.SetAction(RecursiveTx);
        var root = new RootCommand("Deadlock scenarios of the allocator's history, run to a proof.")
        {
            recursive,
            RaceCommand.Build("growth-race", "A writer inside a transaction waits for slab growth that a reader began: whose flags does it have, and who marks the worker?"),
            RaceCommand.Build("held-lock", "A reader allocates under a lock that writers take inside transactions: does a mark that comes with the transaction cover it?"),
        };
        ParseResult parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            string what = string.Join(' ', parsed.Errors[0].Message.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));
            Console.Error.WriteLine($"lab: {what} Try: lab --help");
            return ExitUsage;
        }

        return parsed.Invoke();
    }

    private static int RecursiveTx(ParseResult parsed)
    {
        // Before the first use of the Spl layer, which reads it once.
        Environment.SetEnvironmentVariable("ZFSLITE_SPL", parsed.GetValue(s_backend));
        var options = new ScenarioOptions
        {
            Policy = Enum.Parse<KmemPolicy>(parsed.GetValue(s_policy)!, ignoreCase: true),
            Seed = parsed.GetValue(s_seed),
            Torture = parsed.GetValue(s_torture),
        };
        int runs = parsed.GetValue(s_runs);
        if (runs < 1 || options.Torture < 0)
        {
            Console.Error.WriteLine("lab: --runs is at least 1, --torture-reclaim at least 0");
            return ExitUsage;
        }

        ScenarioResult result = ScenarioRunner.Search(options, runs, out int tried);
        string? svg = result.Deadlock is null ? null : parsed.GetValue(s_svg) ?? $"recursive-tx-{Name(options.Policy)}-{result.Options.Seed}.svg";
        if (svg is not null)
        {
            File.WriteAllText(svg, result.Deadlock!.ToSvg());
        }

        if (parsed.GetValue(s_json))
        {
            Console.Out.WriteLine(ScenarioJson.Render(result, tried, svg));
        }
        else
        {
            Print(result, tried, svg);
        }

        return result.Deadlock is not null ? ExitDeadlock : result.Completed ? ExitOk : ExitFailure;
    }

    private static string Name(KmemPolicy policy) => policy.ToString().ToLowerInvariant();

    private static void Print(ScenarioResult result, int tried, string? svg)
    {
        ScenarioOptions options = result.Options;
        var table = new Table().Border(TableBorder.Rounded).AddColumn("recursive-tx").AddColumn(new TableColumn(string.Empty).RightAligned());
        Row(table, "policy", Name(options.Policy));
        Row(table, "seed", options.Seed.ToString(CultureInfo.InvariantCulture));
        Row(table, "schedules tried", tried.ToString(CultureInfo.InvariantCulture));
        Row(table, "outcome", result.Deadlock is not null ? "DEADLOCK" : result.Completed ? "completed" : "failed");
        ScenarioCounters c = result.Counters;
        Count(table, "records written", c.Writes);
        Count(table, "records read", c.Reads);
        Count(table, "txgs written", c.Txgs);
        Count(table, "clean znodes evicted", c.EvictedClean);
        Count(table, "transactions opened in reclaim", c.EvictedInReclaim);
        Count(table, "of these inside a transaction", c.Nested);
        Count(table, "znodes handed to the inactive queue", c.HandedToQueue);
        Count(table, "shrinker turned away", c.TurnedAway);
        if (result.Memory is { } memory)
        {
            Count(table, "direct reclaims", memory.DirectReclaims);
            Count(table, "sleeping allocations turned away from reclaim", memory.TurnedAway);
            Count(table, "dips into the reserve", memory.ReserveEvents);
            Count(table, "lowest free pages", memory.LowestFreePages);
        }

        Count(table, "time, ms", result.TimeNs / 1_000_000);
        AnsiConsole.Write(table);
        if (result.Deadlock is not null)
        {
            Console.Out.WriteLine(result.Deadlock.ToText());
            Console.Out.WriteLine($"Picture: {svg}");
            Console.Out.WriteLine($"Again:   lab recursive-tx --policy {Name(options.Policy)} --seed {options.Seed}");
        }
        else if (result.Failure is not null)
        {
            Console.Out.WriteLine(result.Failure);
        }
    }

    private static void Count(Table table, string name, long value) => Row(table, name, value.ToString("N0", CultureInfo.InvariantCulture));

    private static void Row(Table table, string name, string value) => table.AddRow(new Text(name), new Text(value));
}
