using System.Globalization;
using System.Text;
using BenchmarkDotNet.Mathematics;
using BenchmarkDotNet.Reports;
using ZfsLite.Kmem;

namespace ZfsLite.Bench.Kmem;

/// <summary>The page of tables: the aims first, each with its worst figure, then what they were read from.</summary>
internal sealed class KmemReport
{
    private const string Cache = "Slubq";
    private const string Kmalloc = "Kmalloc";
    private const string Peer = "Mimalloc";
    private const int AimSizeMax = 16384;

    private static readonly (string Name, string Title)[] s_allocators =
    [
        (Cache, "kmem_cache_alloc"),
        (Kmalloc, "kmem_alloc"),
        (Peer, "mimalloc"),
        ("Jemalloc", "jemalloc"),
        ("Glibc", "glibc"),
        ("NativeMemory", "NativeMemory"),
        ("ArrayPool", "ArrayPool"),
        ("Nothing", "(a P/Invoke alone)"),
        ("Idle", "(the benchmark alone)"),
    ];

    private readonly List<Cell> _cells;
    private readonly StringBuilder _text = new();

    internal KmemReport(List<Summary> summaries) =>
        _cells = [.. summaries.SelectMany(static s => s.Reports).Where(static r => r.ResultStatistics is not null).Select(Cell.Of)];

    internal string Write()
    {
        Dictionary<SlabEngineKind, (int Size, double Share)[]> overhead = Enum.GetValues<SlabEngineKind>().ToDictionary(
            static e => e, static e => Array.ConvertAll([.. BenchSizes.Full, .. BenchSizes.Odd], size => (size, KmemOverhead.Measure(e, size))));
        Line("Medians, ns; ratios are within this run. The native peers are called by P/Invoke, whose cost is in their figures and is shown beside them.");
        WriteAims(overhead);
        Section("A pair: an allocation and its free, in a loop");
        Table("KmemPair", "Pair", 0);
        Section("A pair, each call in a method of its own");
        Table("KmemPair", "Apart", 0);
        Section("1,000 allocations, then 1,000 frees; per object");
        Table("KmemBatch", "Batch", 0);
        foreach (int threads in _cells.Select(static c => c.Threads).Distinct().Where(static t => t > 0).Order())
        {
            Section($"Pairs by {threads} thread{(threads == 1 ? string.Empty : "s")} at once; wall time per pair");
            Table("KmemThread", "PairsByThreads", threads);
        }

        Section("Freed by another thread: producer and consumer, wall time per object");
        Table("KmemRemoteFree", "Handed", 0);
        Section("A working set of 4,096 objects of 64 B to 16 KiB; per replacement");
        Table("KmemMixed", "Replace", 0);
        Section("A mark and its unmark");
        Line(string.Create(CultureInfo.InvariantCulture, $"{Median("KmemMark", "MarkAndUnmark", string.Empty, 0, 0):0.0} ns"));
        WriteDebug();
        WriteReap();
        Section("Memory over the objects' own bytes at full slabs");
        Line("The test SlabOverheadTests holds it for every size up to 128 KiB.");
        foreach (int[] sizes in new[] { BenchSizes.Full, BenchSizes.Odd })
        {
            Line();
            Line("| engine | " + string.Join(" | ", sizes.Select(Bytes)) + " |");
            Line("|---" + string.Concat(sizes.Select(static _ => "|--:")) + "|");
            foreach ((SlabEngineKind engine, (int Size, double Share)[] shares) in overhead)
            {
                Line($"| {engine} | " + string.Join(" | ", shares.Where(s => sizes.Contains(s.Size)).Select(static s => Percent(s.Share))) + " |");
            }
        }

        return _text.ToString();
    }

    private void WriteAims(Dictionary<SlabEngineKind, (int Size, double Share)[]> overhead)
    {
        Section("Aims");
        Line("| aim | allowed | worst figure of this run | |");
        Line("|---|---|---|---|");
        foreach ((string method, string how) in new[] { ("Pair", "in a loop"), ("Apart", "each call in a method of its own") })
        {
            foreach (string allocator in new[] { Cache, Kmalloc })
            {
                AimAtMost($"{Title(allocator)}, a pair {how}, to mimalloc's, up to 16 KiB", 1, BenchSizes.All.Where(static s => s <= AimSizeMax)
                    .Select(s => (Bytes(s), Median("KmemPair", method, allocator, s, 0) / Median("KmemPair", method, Peer, s, 0))));
            }
        }

        foreach (string allocator in new[] { Cache, Kmalloc })
        {
            AimAtMost($"{Title(allocator)}, freed by another thread, to a local pair", 3, BenchSizes.Few
                .Select(s => (Bytes(s), Median("KmemRemoteFree", "Handed", allocator, s, 0) / Median("KmemPair", "Apart", allocator, s, 0))));
            AimAtLeast($"{Title(allocator)}, 2 threads, to the throughput of one", 1.8, _cells.Where(c => c.Type == "KmemThread" && c.Allocator == allocator && c.Threads == 2)
                .Select(c => (Bytes(c.Size), Median("KmemThread", "PairsByThreads", allocator, c.Size, 1) / c.Ns)));
        }

        AimAtMost("bytes on the GC heap per operation of kmem", 0, _cells.Where(static c => c.Allocator is Cache or Kmalloc)
            .Select(static c => ($"{c.Type} {Bytes(c.Size)}", (double)c.Allocated)));
        foreach (string form in new[] { nameof(ReapForm.Spl), nameof(ReapForm.Slubq) })
        {
            string bound = Number(Reap("SlabReap", nameof(ReapForm.Historical)) / KmemReapBenchmarks.SplatPausesNs, "0.##");
            foreach ((string method, string title) in new[]
            {
                ("SlabReapWithoutPauses", "reaped every ms"),
                ("SlabReap", $"with splat's 100 ms between two reaps, which alone leave room for {bound}"),
            })
            {
                AimAtLeast($"slab_reap, {title}: historical form to {form}", 10, [(string.Empty, Reap(method, nameof(ReapForm.Historical)) / Reap(method, form))]);
            }
        }

        AimAtMost("SLUB+Q, memory over the objects' own, from 64 B, %", 12.5, overhead[SlabEngineKind.Slubq].Select(static o => (Bytes(o.Size), o.Share * 100)));
        AimAtMost("SPL, the same, from 1 KiB, %", 12.5, overhead[SlabEngineKind.Spl].Where(static o => o.Size >= 1024).Select(static o => (Bytes(o.Size), o.Share * 100)));
    }

    private void WriteDebug()
    {
        Section("A pair under slab debugging, by letter");
        string[] letters = [.. _cells.Where(static c => c.Method == "WatchedPair").Select(static c => c.Form).Distinct()];
        Line("| | " + string.Join(" | ", letters.Select(static l => l == "-" ? "none" : l)) + " |");
        Line("|---" + string.Concat(letters.Select(static _ => "|--:")) + "|");
        foreach (IGrouping<int, Cell> row in _cells.Where(static c => c.Method == "WatchedPair").GroupBy(static c => c.Size))
        {
            Line($"| {Bytes(row.Key)} | " + string.Join(" | ", letters.Select(l => Number(row.First(c => c.Form == l).Ns, "0.0"))) + " |");
        }
    }

    private void WriteReap()
    {
        Section("Reclaim from a full cache until every object is destructed and every slab is back");
        Line("1,024 objects of 256 B, of which a callback frees 32 at each reap (splat's slab_reap); ms.");
        Line();
        Line("| | historical: life with the slab, 15 s timer | SPL | SLUB+Q |");
        Line("|---|--:|--:|--:|");
        foreach ((string method, string title) in new[]
        {
            ("SlabReap", "a reap every 100 ms, as splat has it"),
            ("SlabReapWithoutPauses", "a reap every ms"),
            ("ReapOfPinnedSlabs", "one reap that finds an object live in each of thousands of slabs"),
        })
        {
            Line($"| {title} | " + string.Join(" | ", Enum.GetNames<ReapForm>().Select(f => Number(Reap(method, f) / 1e6, "0.000"))) + " |");
        }
    }

    /// <summary>Sizes down, allocators across; those that have no figure are left out.</summary>
    private void Table(string type, string method, int threads)
    {
        List<Cell> cells = [.. _cells.Where(c => c.Type == type && c.Method == method && c.Threads == threads)];
        List<(string Name, string Title)> columns = [.. s_allocators.Where(a => cells.Exists(c => c.Allocator == a.Name))];
        Line("| | " + string.Join(" | ", columns.Select(static c => c.Title)) + " |");
        Line("|---" + string.Concat(columns.Select(static _ => "|--:")) + "|");
        foreach (int size in cells.Select(static c => c.Size).Distinct().Order())
        {
            Line($"| {(size == 0 ? "mixed" : Bytes(size))} | " + string.Join(" | ", columns.Select(c => Number(Median(type, method, c.Name, size, threads), "0.0"))) + " |");
        }
    }

    private void AimAtMost(string aim, double allowed, IEnumerable<(string At, double Figure)> figures) =>
        Aim(aim, $"at most {Number(allowed, "0.##")}", figures.OrderByDescending(static f => f.Figure), f => f <= allowed);

    private void AimAtLeast(string aim, double allowed, IEnumerable<(string At, double Figure)> figures) =>
        Aim(aim, $"at least {Number(allowed, "0.##")}", figures.OrderBy(static f => f.Figure), f => f >= allowed);

    private void Aim(string aim, string allowed, IEnumerable<(string At, double Figure)> worstFirst, Func<double, bool> isMet)
    {
        (string At, double Figure)[] figures = [.. worstFirst.Where(static f => !double.IsNaN(f.Figure))];
        if (figures.Length == 0)
        {
            Line($"| {aim} | {allowed} | | not in this run |");
            return;
        }

        string missed = string.Join(", ", figures.Where(f => !isMet(f.Figure)).Select(static f => $"{Number(f.Figure, "0.##")} at {f.At}"));
        string at = figures[0].At.Length == 0 || figures[0].Figure == 0 ? string.Empty : $" at {figures[0].At}";
        Line($"| {aim} | {allowed} | {(missed.Length > 0 ? missed : Number(figures[0].Figure, "0.##") + at)} | {(missed.Length > 0 ? "missed" : "met")} |");
    }

    private double Median(string type, string method, string allocator, int size, int threads) =>
        _cells.Find(c => c.Type == type && c.Method == method && c.Allocator == allocator && c.Size == size && c.Threads == threads)?.Ns ?? double.NaN;

    private double Reap(string method, string form) => _cells.Find(c => c.Method == method && c.Form == form)?.Ns ?? double.NaN;

    private static string Title(string allocator) => s_allocators.First(a => a.Name == allocator).Title;

    private static string Bytes(int size) => size >= 1024 && size % 1024 == 0 ? $"{size / 1024} KiB" : $"{size} B";

    private static string Percent(double share) => Number(share * 100, "0.0") + " %";

    private static string Number(double value, string format) => double.IsNaN(value) ? string.Empty : value.ToString(format, CultureInfo.InvariantCulture);

    private void Section(string title)
    {
        Line();
        Line($"## {title}");
        Line();
    }

    private void Line(string text = "") => _text.Append(text).Append('\n');

    private sealed record Cell(string Type, string Method, string Allocator, int Size, int Threads, string Form, double Ns, long Allocated)
    {
        internal static Cell Of(BenchmarkReport report)
        {
            Type type = report.BenchmarkCase.Descriptor.Type;
            string name = type.Name[..type.Name.IndexOf("Benchmarks", StringComparison.Ordinal)];
            string allocator = type.IsGenericType ? type.GetGenericArguments()[0].Name.Replace("Allocator", string.Empty, StringComparison.Ordinal) : string.Empty;
            return new Cell(
                name,
                report.BenchmarkCase.Descriptor.WorkloadMethod.Name,
                allocator,
                Parameter(report, "Size") is int size ? size : 0,
                Parameter(report, "Threads") is int threads ? threads : 0,
                (Parameter(report, "Form") ?? Parameter(report, "Flags"))?.ToString() ?? string.Empty,
                report.ResultStatistics!.Median,
                report.GcStats.GetBytesAllocatedPerOperation(report.BenchmarkCase) ?? 0);
        }

        private static object? Parameter(BenchmarkReport report, string name) =>
            report.BenchmarkCase.Parameters.Items.FirstOrDefault(p => p.Name == name)?.Value;
    }
}
