using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Engines;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Perfolizer.Horology;

namespace ZfsLite.Bench.Kmem;

/// <summary>"bench kmem [--out FILE] [--head TEXT] [BenchmarkDotNet's options]": every benchmark of kmem, and one page of tables made of it.</summary>
internal static class KmemTable
{
    private static readonly Type[] s_timed =
    [
        typeof(KmemPairBenchmarks<,>),
        typeof(KmemBatchBenchmarks<,>),
        typeof(KmemThreadBenchmarks<,>),
        typeof(KmemRemoteFreeBenchmarks<,>),
        typeof(KmemMixedBenchmarks<,>),
        typeof(KmemMarkBenchmarks),
        typeof(KmemDebugBenchmarks),
    ];

    internal static int Run(string[] args)
    {
        string? file = Take(ref args, "--out");
        string head = Take(ref args, "--head") ?? string.Empty;
        args = args.Contains("--filter") ? args : [.. args, "--filter", "*"];

        // Many cases, short iterations: the whole table in some minutes; on a busy machine medians say more than means.
        Job timed = Job.ShortRun.WithWarmupCount(2).WithIterationCount(9).WithIterationTime(TimeInterval.FromMilliseconds(60));

        // A reap empties the cache, and takes half a minute in its historical form: once each.
        Job once = Job.Dry.WithStrategy(RunStrategy.ColdStart).WithIterationCount(1).WithInvocationCount(1).WithUnrollFactor(1);
        List<Summary> summaries = [.. Switch(args, s_timed, timed), .. Switch(args, [typeof(KmemReapBenchmarks)], once)];
        string report = new KmemReport(summaries).Write();
        Console.WriteLine();
        Console.WriteLine(report);
        if (file is not null)
        {
            File.WriteAllText(file, head + report);
        }

        return summaries.Exists(static s => s.HasCriticalValidationErrors || s.Reports.Any(static r => !r.Success)) ? 1 : 0;
    }

    private static IEnumerable<Summary> Switch(string[] args, Type[] types, Job job) => BenchmarkSwitcher.FromTypes(types).Run(
        args,
        ManualConfig.CreateEmpty()
            .AddColumnProvider(DefaultColumnProviders.Instance)
            .AddColumn(StatisticColumn.Median)
            .AddLogger(ConsoleLogger.Default)
            .AddDiagnoser(MemoryDiagnoser.Default)
            .WithOptions(ConfigOptions.DisableLogFile | ConfigOptions.JoinSummary)
            .WithArtifactsPath(Path.Combine(Path.GetTempPath(), "zfslite-bench"))
            .AddJob(job.WithToolchain(InProcessEmitToolchain.Instance)));

    private static string? Take(ref string[] args, string option)
    {
        int at = Array.IndexOf(args, option);
        if (at < 0 || at + 1 >= args.Length)
        {
            return null;
        }

        string value = args[at + 1];
        args = [.. args[..at], .. args[(at + 2)..]];
        return value;
    }
}
