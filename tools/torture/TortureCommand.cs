using System.CommandLine;
using System.Globalization;
using Spectre.Console;

namespace ZfsLite.Torture;

/// <summary>The command line.</summary>
internal static class TortureCommand
{
    internal const int ExitOk = 0;
    internal const int ExitFailure = 1;
    internal const int ExitUsage = 2;
    internal const int ExitInterrupted = 130;

    private const int MostWorkers = 16;
    private const ulong SeedMax = long.MaxValue;

    private static readonly Option<long?> s_schedules = new("--schedules")
    {
        Description = "Schedules in all (1,000,000, unless --minutes is given).",
    };

    private static readonly Option<long?> s_states = new("--states")
    {
        Description = "States in all (1,000,000, unless --minutes or --schedules is given). It ends with the schedule that reaches them.",
    };

    private static readonly Option<long?> s_crashSchedules = new("--schedules") { Description = "Seeds in all, each of some 3,000 states." };

    private static readonly Option<int> s_zdb = new("--zdb") { Description = "Has zdb -bcc judge one in so many states, and the first of each kind of a seed, before the recovery and after it; 0: none." };
    private static readonly Option<string> s_zfslite = new("--zfslite") { Description = "The program that runs zdb.", DefaultValueFactory = static _ => "artifacts/zfslite" };
    private static readonly Option<double?> s_minutes = new("--minutes") { Description = "How long at most." };
    private static readonly Option<double?> s_allMinutes = new("--minutes") { Description = "Without a kind: runs every kind, for this long together." };
    private static readonly Option<ulong> s_seed = new("--seed") { Description = "First seed.", DefaultValueFactory = static _ => 1 };
    private static readonly Option<string> s_engine = new("--engine")
    {
        Description = "slubq, spl, or both: each seed on each of them.",
        DefaultValueFactory = static _ => "both",
    };

    private static readonly Option<bool> s_resume = new("--resume") { Description = "Goes on where the last run was, with what it was asked for." };
    /// <summary>What the run of all kinds gives to each.</summary>
    internal static readonly Option<bool> GoOn = new("--go-on") { Description = "As --resume, or from the beginning if there is nothing to go on from; ends with the time alone.", Hidden = true };

    private static readonly Option<string> s_state = new("--state") { Description = "The file that it goes on from.", DefaultValueFactory = static _ => "artifacts/torture-kmem.json" };
    private static readonly Option<string> s_crashState = new("--state") { Description = "The file that it goes on from.", DefaultValueFactory = static _ => "artifacts/torture-crash.json" };
    private static readonly Option<string> s_imageState = new("--state") { Description = "The file that it goes on from.", DefaultValueFactory = static _ => "artifacts/torture-images.json" };
    private static readonly Option<long?> s_images = new("--images") { Description = "Images in all (100,000, unless --minutes is given)." };
    private static readonly Option<string> s_pool = new("--pool") { Description = "The clean pool to make images from, or all: each seed on each of them.", DefaultValueFactory = static _ => "all" };
    private static readonly Option<int> s_workers = new("--workers") { Description = "Processes at once.", DefaultValueFactory = static _ => Math.Min(Environment.ProcessorCount, MostWorkers) };
    private static readonly Option<string> s_plant = new("--plant") { Description = "For tests: the fault to plant.", DefaultValueFactory = static _ => nameof(SlabFault.None), Hidden = true };
    private static readonly Option<ulong> s_plantSeed = new("--plant-seed") { Description = "For tests: the seed to plant it in.", Hidden = true };

    /// <summary>Runs the command. Returns 0: all held; 1: a schedule did not; 2: wrong use; 130: interrupted.</summary>
    internal static int Run(string[] args)
    {
        s_engine.AcceptOnlyFromAmong("slubq", "spl", "both");
        s_plant.AcceptOnlyFromAmong([.. Enum.GetNames<SlabFault>(), .. Enum.GetNames<CrashFault>()]);
        var kmem = new Command("kmem", "Random schedules of both slab engines in the simulator, against a model: no object twice, none lost, counters exact, reserves for the entitled alone, KM_NOSLEEP never waits.")
        {
            s_schedules, s_minutes, s_seed, s_engine, s_resume, GoOn, s_state, s_workers, s_plant, s_plantSeed,
        };
        kmem.SetAction(Kmem);
        var crash = new Command("crash", "Crashes of the whole stack after every write and every flush, against a journal: what was acknowledged is there, every name is old or new, the pool is clean.")
        {
            s_states, s_crashSchedules, s_minutes, s_seed, s_zdb, s_zfslite, s_resume, GoOn, s_crashState, s_workers, s_plant, s_plantSeed,
        };
        crash.SetAction(Crash);
        s_pool.AcceptOnlyFromAmong([.. ImagePools.Names, "all"]);
        var images = new Command("images", "Hostile images, most of them with checksums that are right again: opened, listed, read, written, checked. Errors only, in bounded time and memory.")
        {
            s_images, s_minutes, s_seed, s_pool, s_resume, GoOn, s_imageState, s_workers,
        };
        images.SetAction(Images);
        var root = new RootCommand("Long runs of what the tests do in short.") { kmem, crash, images, KillCommand.Build() };
        root.Options.Add(s_allMinutes);
        root.SetAction(parsed => All(root, parsed.GetValue(s_allMinutes)));
        ParseResult parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            return Usage(parsed.Errors[0].Message);
        }

        return parsed.Invoke();
    }

    /// <summary>Every kind there is, one after the other, each with an equal share of the time.</summary>
    private static int All(RootCommand root, double? minutes)
    {
        if (minutes is not > 0)
        {
            return Usage("it takes a kind, or --minutes (more than 0) for all of them.");
        }

        int worst = ExitOk;
        string share = (minutes.Value / root.Subcommands.Count).ToString(CultureInfo.InvariantCulture);
        foreach (Command kind in root.Subcommands)
        {
            int code = root.Parse([kind.Name, "--minutes", share, GoOn.Name]).Invoke();
            if (code != ExitOk)
            {
                worst = worst is ExitOk ? code : worst;
                Console.WriteLine($"torture: {kind.Name} {code switch { ExitInterrupted => "was interrupted", ExitUsage => "could not be run", _ => "FAILED" }}");
            }

            if (code == ExitInterrupted)
            {
                break;
            }
        }

        TortureSummary.All.ForEach(static s => Console.WriteLine($"torture: {s}"));
        Console.WriteLine($"torture: {(worst switch { ExitOk => "passed", ExitInterrupted => "interrupted", _ => "FAILED" })}; goes on where each kind is with: ./fuse-test.sh torture --minutes {minutes.Value.ToString(CultureInfo.InvariantCulture)}");
        return worst;
    }

    private static int Kmem(ParseResult parsed)
    {
        long? schedules = parsed.GetValue(s_schedules);
        return Checked(parsed, new TortureSettings
        {
            Torture = TortureSettings.Kmem,
            Engines = Engines(parsed.GetValue(s_engine)!),
            FirstSeed = parsed.GetValue(s_seed),
            Schedules = schedules ?? (parsed.GetValue(s_minutes) is null ? TortureSettings.KmemAim : null),
            StateFile = parsed.GetValue(s_state)!,
            Workers = parsed.GetValue(s_workers),
        });
    }

    private static int Crash(ParseResult parsed)
    {
        long? schedules = parsed.GetValue(s_crashSchedules);
        int zdb = parsed.GetValue(s_zdb);
        string zfslite = Path.GetFullPath(parsed.GetValue(s_zfslite)!);
        if (zdb < 0 || (zdb > 0 && (!File.Exists(zfslite) || !KillDaemon.HasZdb)))
        {
            return Usage(zdb < 0 ? "--zdb is at least 0." : !File.Exists(zfslite) ? $"{zfslite} does not exist; build it: ./fuse-test.sh build." : "zdb is not installed.", TortureSettings.Crash);
        }

        return Checked(parsed, new TortureSettings
        {
            Torture = TortureSettings.Crash,
            Engines = [TortureSettings.Crash],
            FirstSeed = parsed.GetValue(s_seed),
            Schedules = schedules,
            States = parsed.GetValue(s_states) ?? (schedules is null && parsed.GetValue(s_minutes) is null ? TortureSettings.CrashAim : null),
            ZdbOneIn = zdb,
            Zfslite = zfslite,
            StateFile = parsed.GetValue(s_crashState)!,
            Workers = parsed.GetValue(s_workers),
        });
    }

    private static int Images(ParseResult parsed)
    {
        string pool = parsed.GetValue(s_pool)!;
        return Checked(parsed, new TortureSettings
        {
            Torture = TortureSettings.Images,
            Engines = pool == "all" ? ImagePools.Names : [pool],
            FirstSeed = parsed.GetValue(s_seed),
            Schedules = parsed.GetValue(s_images) ?? (parsed.GetValue(s_minutes) is null ? TortureSettings.ImagesAim : null),
            StateFile = parsed.GetValue(s_imageState)!,
            Workers = parsed.GetValue(s_workers),
        });
    }

    /// <summary>Checks what all commands have, reads the state to go on from, and runs.</summary>
    private static int Checked(ParseResult parsed, TortureSettings settings)
    {
        double? minutes = parsed.GetValue(s_minutes);
        if (settings.Schedules is < 1 || settings.States is < 1 || minutes is <= 0 || settings.Workers is < 1 or > MostWorkers)
        {
            return Usage($"--schedules and --states are at least 1, --minutes more than 0, --workers 1 to {MostWorkers}", settings.Torture);
        }

        if (settings.FirstSeed > SeedMax)
        {
            return Usage($"--seed is at most {SeedMax}", settings.Torture);
        }

        settings = settings with
        {
            Time = minutes is { } m ? TimeSpan.FromMinutes(m) : null,
            Resume = parsed.GetValue(s_resume) || parsed.GetValue(GoOn),
            Plant = parsed.GetValue(s_plant) ?? nameof(SlabFault.None),
            PlantSeed = parsed.GetValue(s_plantSeed),
        };
        if (!settings.Resume)
        {
            return Torture(settings, null);
        }

        TortureState? state = null;
        string? reason = null;
        try
        {
            state = TortureState.Read(settings.StateFile);
            reason = state?.WhyNot(settings.Torture) ?? (state is null ? $"there is nothing to go on from: {settings.StateFile} does not exist" : null);
        }
        catch (InvalidDataException e)
        {
            reason = e.Message;
        }

        if (parsed.GetValue(GoOn))
        {
            bool fits = reason is null && state!.Engines.SequenceEqual(settings.Engines);
            return Torture(settings with { FirstSeed = fits ? state!.FirstSeed : settings.FirstSeed }, fits ? state : null);
        }

        if (reason is not null)
        {
            return Usage(reason, settings.Torture);
        }

        return Torture(
            settings with
            {
                Engines = state!.Engines,
                FirstSeed = state.FirstSeed,
                Schedules = parsed.GetValue(settings.Torture switch
                {
                    TortureSettings.Crash => s_crashSchedules,
                    TortureSettings.Images => s_images,
                    _ => s_schedules,
                }) ?? state.Schedules ?? (minutes is null && !settings.CountsStates ? settings.Aim : null),
                States = settings.CountsStates ? parsed.GetValue(s_states) ?? state.States ?? (minutes is null && state.Schedules is null ? settings.Aim : null) : null,
            },
            state);
    }

    private static int Torture(TortureSettings settings, TortureState? state)
    {
        using var torture = new TortureRun(settings, state);
        string name = $"torture {settings.Torture}";
        using var interrupt = new TortureInterrupt(torture.Stop, torture.Abort);
        long before = torture.Done;
        Console.WriteLine(
            $"{name}: {string.Join(" and ", torture.State.Engines)}, {(settings.States is { } s ? $"{s:N0} states" : settings.Schedules is { } n ? $"{n:N0} schedules" : "no end")} from seed {settings.FirstSeed}"
            + $"{(state is null ? string.Empty : $", going on from seed {state.NextSeed}")}, {settings.Workers} processes, {torture.State.Build}");
        torture.Save();
        TortureProgress.Watch(torture, settings, torture.Start());
        torture.Save();
        TortureProgress.Print(torture, settings);
        TortureSummary.All.Add(new TortureSummary(settings.Torture, settings.Unit, torture.Done - before, torture.Elapsed.TotalSeconds, torture.Done, settings.Aim, torture.State.Failure?.Command));
        if (torture.State.Failure is { } failure)
        {
            Console.WriteLine($"{name}: FAILED on {failure.Engine}, seed {failure.Seed}: {failure.Text}");
            string plant = settings.Plant == nameof(SlabFault.None) ? string.Empty : $" --plant {settings.Plant} --plant-seed {settings.PlantSeed}";
            Console.WriteLine($"replay: {failure.Command}{plant}");
            return ExitFailure;
        }

        if (interrupt.HasCome)
        {
            Console.WriteLine($"{name}: interrupted; it goes on with: ./fuse-test.sh {name} --resume");
            return ExitInterrupted;
        }

        Console.WriteLine($"{name}: passed");
        return ExitOk;
    }

    private static string[] Engines(string name) => name == "both" ? ["slubq", "spl"] : [name];

    private static int Usage(string what, string? torture = null)
    {
        Console.Error.WriteLine($"torture: {string.Join(' ', what.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))} Try: ./fuse-test.sh torture {torture ?? "kmem"} --help");
        return ExitUsage;
    }
}
