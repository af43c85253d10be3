using System.CommandLine;
using System.Globalization;
using Spectre.Console;

namespace ZfsLite.Torture;

/// <summary>torture kill: kills of the real daemon.</summary>
internal static class KillCommand
{
    private const long KillsByDefault = 500;
    private const int LineSeconds = 10;

    private static readonly Option<long?> s_kills = new("--kills") { Description = "Kills in all (500, unless --minutes is given)." };
    private static readonly Option<double?> s_minutes = new("--minutes") { Description = "How long at most." };
    private static readonly Option<ulong> s_seed = new("--seed") { Description = "What is chosen at random follows from it; moments do not.", DefaultValueFactory = static _ => 1 };
    private static readonly Option<bool> s_resume = new("--resume") { Description = "Goes on where the last run was, on a new pool." };
    private static readonly Option<string> s_state = new("--state") { Description = "The file that it goes on from.", DefaultValueFactory = static _ => "artifacts/torture-kill.json" };
    private static readonly Option<string> s_zfslite = new("--zfslite") { Description = "The program under test.", DefaultValueFactory = static _ => "artifacts/zfslite" };
    private static readonly Option<string?> s_directory = new("--directory") { Description = "Where the pool and its mount point are made; a temporary directory if not given." };

    internal static Command Build()
    {
        var command = new Command("kill", "kill -9 of the daemon at random moments, under a mail spool and fio with fsync, against a journal of what was acknowledged.")
        {
            s_kills, s_minutes, s_seed, s_resume, TortureCommand.GoOn, s_state, s_zfslite, s_directory,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        double? minutes = parsed.GetValue(s_minutes);
        long? kills = parsed.GetValue(s_kills);
        if (kills is < 1 || minutes is <= 0)
        {
            return Usage("--kills is at least 1, --minutes more than 0.");
        }

        string zfslite = Path.GetFullPath(parsed.GetValue(s_zfslite)!);
        if (!File.Exists(zfslite))
        {
            return Usage($"{zfslite} does not exist; build it: ./fuse-test.sh build.");
        }

        KillState? state = null;
        string file = parsed.GetValue(s_state)!;
        bool goOn = parsed.GetValue(TortureCommand.GoOn);
        if (goOn || parsed.GetValue(s_resume))
        {
            string? reason;
            try
            {
                state = KillState.Read(file);
                reason = state is null ? $"there is nothing to go on from: {file} does not exist."
                    : state.Build != KillState.CurrentBuild() ? $"{file} is of another build ({state.Build}; this is {KillState.CurrentBuild()}): begin anew, without --resume."
                    : null;
            }
            catch (InvalidDataException e)
            {
                reason = e.Message + ".";
            }

            if (reason is not null && !goOn)
            {
                return Usage(reason);
            }

            state = reason is null ? state : null;
        }

        return Run(
            new KillSettings
            {
                Zfslite = zfslite,
                Directory = parsed.GetValue(s_directory) is { } directory ? Path.GetFullPath(directory) : Directory.CreateTempSubdirectory("zfslite-kill-").FullName,
                Seed = state?.Seed ?? parsed.GetValue(s_seed),
                Kills = kills ?? (goOn ? null : state?.Kills ?? (minutes is null ? KillsByDefault : null)),
                Time = minutes is { } m ? TimeSpan.FromMinutes(m) : null,
                StateFile = file,
            },
            state);
    }

    private static int Run(KillSettings settings, KillState? state)
    {
        using var run = new KillRun(settings, state);
        using var interrupt = new TortureInterrupt(run.Stop, run.Stop);
        (long before, double secondsBefore) = (run.State.Done, run.State.Seconds);
        Console.WriteLine(
            $"torture kill: {(settings.Kills is { } n ? $"{n:N0} kills" : "no end")}, seed {settings.Seed}{(state is null ? "" : $", going on after {state.Done:N0} kills")}, "
            + $"in {settings.Directory}, {run.State.Build}{(FioLoad.IsThere ? "" : "; fio is not installed, and left out")}");
        long said = -LineSeconds * 1000;
        bool good = run.Run(line =>
        {
            if (Environment.TickCount64 - said >= LineSeconds * 1000)
            {
                said = Environment.TickCount64;
                Console.WriteLine("  " + line);
            }
        });
        Table table = new Table().Border(TableBorder.Rounded).AddColumn("torture kill").AddColumn(new TableColumn("").RightAligned());
        foreach ((string what, long count) in run.State.Counts)
        {
            table.AddRow(new Text(what), new Text(count.ToString("N0", CultureInfo.InvariantCulture)));
        }

        AnsiConsole.Write(table);
        Console.WriteLine($"{run.State.Seconds:0} s, state in {settings.StateFile}");
        TortureSummary.All.Add(new TortureSummary("kill", "kills", run.State.Done - before, run.State.Seconds - secondsBefore, run.State.Done, KillsByDefault, run.State.Failure));
        if (!good)
        {
            Console.WriteLine($"torture kill: FAILED, seed {settings.Seed}, after {run.State.Done:N0} kills: {run.State.Failure}");
            Console.WriteLine($"torture kill: the pool is kept in {settings.Directory}");
            return TortureCommand.ExitFailure;
        }

        Console.WriteLine(interrupt.HasCome ? "torture kill: interrupted; it goes on with: ./fuse-test.sh torture kill --resume" : "torture kill: passed");
        return interrupt.HasCome ? TortureCommand.ExitInterrupted : TortureCommand.ExitOk;
    }

    private static int Usage(string what)
    {
        Console.Error.WriteLine($"torture: {what} Try: ./fuse-test.sh torture kill --help");
        return TortureCommand.ExitUsage;
    }
}
