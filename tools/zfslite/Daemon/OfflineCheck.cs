using System.Diagnostics;
using Spectre.Console;
using ZfsLite.Fs;

namespace ZfsLite.Cli;

/// <summary>Runs the pool checker with a progress bar.</summary>
internal static class OfflineCheck
{
    internal static CheckInfo Run(CommandIo io, IReadOnlyList<string> devices, bool withoutLog, bool showProgress)
    {
        using CommandMemory memory = CommandMemory.Use();
        List<IVdevIo> opened = OpenPool.OpenDevices(devices, readOnly: true);
        try
        {
            PoolReader pool = PoolReader.Open(opened);
            if (pool.HasMissing && !(withoutLog && MissingVdevs.AreLogs(pool)))
            {
                throw MissingVdevs.Error(pool);
            }

            var clock = Stopwatch.StartNew();
            CheckResult result = showProgress && io.IsTerminal ? WithProgress(io, pool) : PoolChecker.Run(pool);
            return Info(pool, result, clock.Elapsed.TotalSeconds);
        }
        finally
        {
            opened.ForEach(static d => d.Dispose());
        }
    }

    private static CheckResult WithProgress(CommandIo io, PoolReader pool) =>
        io.Ansi.Progress().AutoClear(true).Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn()).Start(context =>
        {
            ProgressTask bar = context.AddTask("labels", maxValue: 1);
            return PoolChecker.Run(pool, new CheckOptions
            {
                Progress = (done, at) =>
                {
                    bar.Value = done;
                    bar.Description = Markup.Escape(at);
                },
            });
        });

    private static CheckInfo Info(PoolReader pool, CheckResult result, double seconds) => new()
    {
        Pool = pool.Config.Name,
        Clean = result.Errors == 0,
        Txg = pool.Uberblock.Txg,
        Blocks = result.Blocks,
        Bytes = (long)Math.Min(result.ReferencedBytes, long.MaxValue),
        Objects = result.Files,
        Datasets = result.Datasets,
        ErrorCount = result.Errors,
        Errors = [.. result.Findings.Where(static f => f.Severity == CheckSeverity.Error).Select(Text)],
        Notes = [.. result.Findings.Where(static f => f.Severity != CheckSeverity.Error).Select(Text)],
        Seconds = seconds,
    };

    private static string Text(CheckFinding f) => $"{f.Dataset}{(f.Object != 0 ? $" object {f.Object}" : "")}: {f.Message}";
}
