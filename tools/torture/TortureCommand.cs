using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using Spectre.Console;
using ZfsLite.Kmem;

namespace ZfsLite.Torture;

/// <summary>The command line.</summary>
internal static class TortureCommand
{
    internal const int ExitOk = 0;
    internal const int ExitFailure = 1;
    internal const int ExitUsage = 2;
    internal const int ExitInterrupted = 130;

    private const long SchedulesByDefault = 1_000_000;
    private const int MostWorkers = 16;
    private const ulong SeedMax = long.MaxValue;

    private static readonly Option<long?> s_schedules = new("--schedules")
    {
        Description = "Schedules in all (1,000,000, unless --minutes is given).",
    };

    private static readonly Option<double?> s_minutes = new("--minutes") { Description = "How long at most." };
    private static readonly Option<ulong> s_seed = new("--seed") { Description = "First seed.", DefaultValueFactory = static _ => 1 };
    private static readonly Option<string> s_engine = new("--engine")
    {
        Description = "slubq, spl, or both: each seed on each of them.",
        DefaultValueFactory = static _ => "both",
    };

    private static readonly Option<bool> s_resume = new("--resume") { Description = "Goes on where the last run was, with what it was asked for." };
    private static readonly Option<string> s_state = new("--state") { Description = "The file that it goes on from.", DefaultValueFactory = static _ => "artifacts/torture-kmem.json" };
    private static readonly Option<int> s_workers = new("--workers") { Description = "Processes at once.", DefaultValueFactory = static _ => Math.Min(Environment.ProcessorCount, MostWorkers) };
    private static readonly Option<string> s_plant = new("--plant") { Description = "For tests: the fault to plant.", DefaultValueFactory = static _ => nameof(SlabFault.None), Hidden = true };
    private static readonly Option<ulong> s_plantSeed = new("--plant-seed") { Description = "For tests: the seed to plant it in.", Hidden = true };

    /// <summary>Runs the command. Returns 0: all held; 1: a schedule did not; 2: wrong use; 130: interrupted.</summary>
    internal static int Run(string[] args)
    {
        s_engine.AcceptOnlyFromAmong("slubq", "spl", "both");
        s_plant.AcceptOnlyFromAmong(Enum.GetNames<SlabFault>());
        var kmem = new Command("kmem", "Random schedules of both slab engines in the simulator, against a model: no object twice, none lost, counters exact, reserves for the entitled alone, KM_NOSLEEP never waits.")
        {
            s_schedules, s_minutes, s_seed, s_engine, s_resume, s_state, s_workers, s_plant, s_plantSeed,
        };
        kmem.SetAction(Kmem);
        var root = new RootCommand("Long runs of what the tests do in short.") { kmem };
        ParseResult parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            return Usage(parsed.Errors[0].Message);
        }

        return parsed.Invoke();
    }

    private static int Kmem(ParseResult parsed)
    {
        long? schedules = parsed.GetValue(s_schedules);
        double? minutes = parsed.GetValue(s_minutes);
        if (schedules is < 1 || minutes is <= 0 || parsed.GetValue(s_workers) is < 1 or > MostWorkers)
        {
            return Usage($"--schedules is at least 1, --minutes more than 0, --workers 1 to {MostWorkers}");
        }

        if (parsed.GetValue(s_seed) > SeedMax)
        {
            return Usage($"--seed is at most {SeedMax}");
        }

        var settings = new TortureSettings
        {
            Engines = Engines(parsed.GetValue(s_engine)!),
            FirstSeed = parsed.GetValue(s_seed),
            Schedules = schedules ?? (minutes is null ? SchedulesByDefault : null),
            Time = minutes is { } m ? TimeSpan.FromMinutes(m) : null,
            StateFile = parsed.GetValue(s_state)!,
            Resume = parsed.GetValue(s_resume),
            Workers = parsed.GetValue(s_workers),
            Plant = Enum.Parse<SlabFault>(parsed.GetValue(s_plant)!),
            PlantSeed = parsed.GetValue(s_plantSeed),
        };
        TortureState? state = null;
        if (settings.Resume)
        {
            try
            {
                state = TortureState.Read(settings.StateFile);
            }
            catch (InvalidDataException e)
            {
                return Usage(e.Message);
            }

            if (state is null)
            {
                return Usage($"there is nothing to go on from: {settings.StateFile} does not exist");
            }

            if (state.Build != TortureState.CurrentBuild())
            {
                return Usage($"{settings.StateFile} is of another build ({state.Build}; this is {TortureState.CurrentBuild()}): begin anew, without --resume, from --seed {state.NextSeed} perhaps");
            }

            settings = settings with
            {
                Engines = [.. state.Engines.SelectMany(Engines)],
                FirstSeed = state.FirstSeed,
                Schedules = schedules ?? state.Schedules,
            };
        }

        return Torture(settings, state);
    }

    private static int Torture(TortureSettings settings, TortureState? state)
    {
        using var torture = new KmemTorture(settings, state);
        bool interrupted = false;
        void Interrupt(PosixSignalContext context)
        {
            context.Cancel = true;
            interrupted = true;
            torture.Stop();
        }

        using PosixSignalRegistration first = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
        using PosixSignalRegistration second = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
        Console.WriteLine(
            $"torture kmem: {string.Join(" and ", torture.State.Engines)}, {(settings.Schedules is { } n ? $"{n:N0} schedules" : "no end")} from seed {settings.FirstSeed}"
            + $"{(state is null ? string.Empty : $", going on from seed {state.NextSeed}")}, {settings.Workers} processes, {torture.State.Build}");
        torture.Save();
        TortureProgress.Watch(torture, settings, torture.Start());
        torture.Save();
        TortureProgress.Print(torture, settings);
        if (torture.State.Failure is { } failure)
        {
            Console.WriteLine($"torture kmem: FAILED on {failure.Engine}, seed {failure.Seed}: {failure.Text}");
            string plant = settings.Plant == SlabFault.None ? string.Empty : $" --plant {settings.Plant} --plant-seed {settings.PlantSeed}";
            Console.WriteLine($"replay: {failure.Command}{plant}");
            return ExitFailure;
        }

        if (interrupted)
        {
            Console.WriteLine("torture kmem: interrupted; it goes on with: ./fuse-test.sh torture kmem --resume");
            return ExitInterrupted;
        }

        Console.WriteLine("torture kmem: passed");
        return ExitOk;
    }

    private static SlabEngineKind[] Engines(string name) =>
        name == "both" ? [SlabEngineKind.Slubq, SlabEngineKind.Spl] : [Enum.Parse<SlabEngineKind>(name, ignoreCase: true)];

    private static int Usage(string what)
    {
        Console.Error.WriteLine($"torture: {string.Join(' ', what.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))} Try: ./fuse-test.sh torture kmem --help");
        return ExitUsage;
    }
}
