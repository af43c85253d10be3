using System.Globalization;
using System.Text;
using Spectre.Console;

namespace ZfsLite.Torture;

/// <summary>What is shown while it runs, and at the end.</summary>
internal static class TortureProgress
{
    private const int LineMs = 10_000;
    private const int BarMs = 200;

    /// <summary>Shows progress until the workers have ended: a bar on a terminal, a line now and then elsewhere.</summary>
    internal static void Watch(TortureRun torture, TortureSettings settings, Task workers)
    {
        if (!AnsiConsole.Profile.Capabilities.Interactive || Console.IsOutputRedirected)
        {
            while (!workers.Wait(LineMs))
            {
                torture.EndHung();
                Console.WriteLine("  " + Line(torture));
            }

            return;
        }

        long before = torture.Done;
        AnsiConsole.Progress().HideCompleted(true).Start(context =>
        {
            double? most = (settings.CountsStates ? settings.States : settings.Schedules) ?? settings.Time?.TotalSeconds;
            ProgressTask bar = context.AddTask(settings.CountsStates ? "states" : "schedules", maxValue: most ?? 1);
            bar.IsIndeterminate = most is null;
            while (!workers.Wait(BarMs))
            {
                torture.EndHung();
                bar.Description = Line(torture);
                bar.Value = (settings.CountsStates ? settings.States : settings.Schedules) is null ? torture.Elapsed.TotalSeconds : before + torture.Begun;
            }
        });
    }

    /// <summary>The counts.</summary>
    internal static void Print(TortureRun torture, TortureSettings settings)
    {
        var table = new Table().Border(TableBorder.Rounded).AddColumn($"torture {settings.Torture}");
        string[] engines = torture.State.Engines;
        foreach (string engine in engines)
        {
            table.AddColumn(new TableColumn(engine).RightAligned());
        }

        foreach (string what in settings.Torture switch
        {
            TortureSettings.Crash => Enum.GetNames<CrashCount>(),
            TortureSettings.Images => Enum.GetNames<ImageCount>(),
            _ => Enum.GetNames<SlabCount>(),
        })
        {
            table.AddRow([new Text(Words(what)), .. engines.Select(e => new Text(torture.Counts(e).GetValueOrDefault(what).ToString("N0", CultureInfo.InvariantCulture)))]);
        }

        AnsiConsole.Write(table);
        Console.WriteLine(
            $"seeds {torture.State.FirstSeed} to {torture.State.NextSeed - 1}, {torture.Done:N0} {settings.Unit} in {torture.State.Seconds:0} s ({torture.Done / Math.Max(torture.State.Seconds, 0.001):N0}/s), "
            + $"state in {settings.StateFile}");
    }

    private static string Line(TortureRun torture)
    {
        double seconds = torture.Elapsed.TotalSeconds;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{torture.Done:N0} done, {torture.Begun / seconds:N0}/s, next seed {torture.State.NextSeed}");
    }

    /// <summary>GrowthDeadlocks as "growth deadlocks".</summary>
    private static string Words(string what)
    {
        var text = new StringBuilder();
        foreach (char c in what)
        {
            text.Append(text.Length > 0 && char.IsUpper(c) ? " " : string.Empty).Append(char.ToLowerInvariant(c));
        }

        return text.ToString();
    }
}
