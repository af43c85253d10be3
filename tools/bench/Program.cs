using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using ZfsLite.Bench.Kmem;

// bench --filter '*Lock*' [--list flat] [--job short] ...: the benchmarks of ZfsLite, in this process, so that the back end
// (ZFSLITE_SPL=os|sim) is the one the command was started with. "bench kmem" is the table of the allocators.
if (args is ["kmem", ..])
{
    return KmemTable.Run(args[1..]);
}

ManualConfig config = ManualConfig.CreateEmpty()
    .AddColumnProvider(DefaultColumnProviders.Instance)
    .AddLogger(ConsoleLogger.Default)
    .AddDiagnoser(MemoryDiagnoser.Default)
    .WithOptions(ConfigOptions.DisableLogFile | ConfigOptions.JoinSummary)
    .WithArtifactsPath(Path.Combine(Path.GetTempPath(), "zfslite-bench"))
    .AddJob((args.Contains("--job") ? Job.Default : Job.ShortRun).WithToolchain(InProcessEmitToolchain.Instance));
return BenchmarkSwitcher.FromAssembly(typeof(ZfsLite.Bench.Spl.LockBenchmarks).Assembly).Run(args, config).Any(static s => s.HasCriticalValidationErrors) ? 1 : 0;
