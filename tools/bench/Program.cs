using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Exporters;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

// bench --filter '*Lock*' [--list flat] [--job short] ...: the benchmarks of ZfsLite, in this process, so that the back end
// (ZFSLITE_SPL=os|sim) is the one the command was started with. "bench kmem" is the table of the allocators.
ManualConfig config = ManualConfig.CreateEmpty()
    .AddColumnProvider(DefaultColumnProviders.Instance)
    .AddLogger(ConsoleLogger.Default)
    .AddDiagnoser(MemoryDiagnoser.Default)
    .WithOptions(ConfigOptions.DisableLogFile | ConfigOptions.JoinSummary)
    .WithArtifactsPath(Path.Combine(Path.GetTempPath(), "zfslite-bench"));
if (args is ["kmem", ..])
{
    // Many cases, short iterations: the whole table in some minutes, on a noisy machine medians say more than means.
    args = args.Contains("--filter") ? args[1..] : ["--filter", "*Bench.Kmem.*", .. args[1..]];
    config
        .AddColumn(StatisticColumn.Median)
        .AddExporter(MarkdownExporter.GitHub)
        .AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance).WithWarmupCount(2).WithIterationCount(7).WithIterationTime(Perfolizer.Horology.TimeInterval.FromMilliseconds(60)));
}
else if (!args.Contains("--job"))
{
    config.AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance));
}
else
{
    config.AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance));
}

return BenchmarkSwitcher.FromAssembly(typeof(ZfsLite.Bench.Spl.LockBenchmarks).Assembly).Run(args, config).Any(static s => s.HasCriticalValidationErrors) ? 1 : 0;
