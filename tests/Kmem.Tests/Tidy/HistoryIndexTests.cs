using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Xunit;
using ZfsLite.Tests.Splat;

namespace ZfsLite.Tests.Tidy;

/// <summary>What the project takes over from upstream's history is complete: every test of the splat suite, and every fault of the list.</summary>
public partial class HistoryIndexTests
{
    private const int Faults = 27;

    /// <summary>kmem, taskq, mutex, condvar, thread, rwlock, linux: upstream's numbers and names.</summary>
    private static readonly string[] s_splat =
    [
        "T0101_kmem_alloc", "T0102_kmem_zalloc", "T0103_vmem_alloc", "T0104_vmem_zalloc", "T0105_slab_small", "T0106_slab_large", "T0107_slab_align",
        "T0108_slab_reap", "T0109_slab_age", "T010a_slab_lock", "T010b_slab_overcommit", "T010c_vmem_size", "T010d_slab_reclaim",
        "T0201_single", "T0202_multiple", "T0203_system", "T0204_wait", "T0205_order", "T0206_front", "T0207_recurse", "T0208_contention",
        "T0209_delay", "T020a_cancel", "T020b_dynamic",
        "T0401_tryenter", "T0402_race", "T0403_owned", "T0404_owner",
        "T0501_signal1", "T0502_broadcast1", "T0503_signal2", "T0504_broadcast2", "T0505_timeout",
        "T0601_create", "T0602_exit", "T0603_tsd",
        "T0701_N_rd_1_wr", "T0702_0_rd_N_wr", "T0703_held", "T0704_tryenter", "T0705_rw_downgrade", "T0706_rw_tryupgrade_1", "T0707_rw_tryupgrade_2",
        "T1001_shrinker",
    ];

    [Fact]
    public void Every_test_of_the_splat_suite_is_here_and_none_is_skipped()
    {
        MethodInfo[] tests = [.. typeof(SplatKmem).Assembly.GetTypes().Where(static t => t.Namespace == typeof(SplatKmem).Namespace)
            .SelectMany(static t => t.GetMethods()).Where(static m => m.GetCustomAttribute<FactAttribute>() is not null)];
        Assert.Empty(s_splat.Except(tests.Select(static m => m.Name)));
        Assert.All(tests, static m => Assert.True(m.GetCustomAttribute<FactAttribute>()!.Skip is null, m.Name));
        Assert.All(tests, static m => Assert.True(s_splat.Contains(m.Name) || s_splat.Contains(m.Name.Replace("_full", string.Empty, StringComparison.Ordinal)), m.Name));
    }

    /// <summary>But for 0x010c, which has no cache, and the first four, which go by the caches of kmalloc.</summary>
    [Fact]
    public void Every_slab_test_of_the_splat_suite_runs_on_both_engines()
    {
        MethodInfo[] tests = [.. typeof(SplatKmem).GetMethods().Where(static m => m.Name.Contains("_slab_", StringComparison.Ordinal) && !m.Name.EndsWith("_age_full", StringComparison.Ordinal))];
        Assert.Equal(8, tests.Select(static m => m.Name[..5]).Distinct().Count());
        Assert.All(tests, static m => Assert.Equal(
            [SplatSlabs.Slubq, SplatSlabs.Spl],
            m.GetCustomAttributes<InlineDataAttribute>().Select(a => (string)a.GetData(m).Single()[0]!)));
    }

    [Fact]
    public void Every_splat_test_of_kmem_says_how_large_its_arena_is()
    {
        int found = 0;
        foreach (string file in (string[])["SplatKmem.cs", "SplatKmem.Slab.cs", "SplatShrinker.cs"])
        {
            foreach (Match test in Commented().Matches(File.ReadAllText(Path.Combine(Here(), "../Splat", file))))
            {
                Assert.True(test.Groups["comment"].Value.Contains("Arena:", StringComparison.Ordinal), test.Groups["name"].Value);
                found++;
            }
        }

        Assert.Equal(14, found);
    }

    [Fact]
    public void Every_fault_of_the_history_has_a_test_that_bears_its_number_or_a_reason()
    {
        string[] files = ["../Kmem/FaultsA7.cs", "../Kmem/FaultsA7.Memory.cs", "../../Fs.Tests/Zpl/FaultsA7.cs"];
        string text = string.Concat(files.Select(static f => File.ReadAllText(Path.Combine(Here(), f))));
        int[] tested = [.. Tested().Matches(text).Select(static m => int.Parse(m.Groups[1].Value))];
        int[] reasoned = [.. Reasoned().Matches(text).Select(static m => int.Parse(m.Groups[1].Value))];
        Assert.Empty(tested.Intersect(reasoned));

        // The recursive transaction has a suite of its own.
        Assert.Contains("27, the recursive transaction, is in", text, StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(Here(), "../../Txn.Tests/RecursiveTxTests.cs")));
        Assert.Equal(Enumerable.Range(1, Faults), tested.Concat(reasoned).Append(Faults).Distinct().Order());
    }

    [GeneratedRegex(@"public void A7_(\d\d)_")]
    private static partial Regex Tested();

    [GeneratedRegex(@"/// <para>(\d+), ")]
    private static partial Regex Reasoned();

    [GeneratedRegex(@"(?<comment>(?:    ///[^\n]*\n)+)(?:    \[[^\n]*\n)+    public void (?<name>T[0-9a-f]{4}_\w+)")]
    private static partial Regex Commented();

    private static string Here([CallerFilePath] string self = "") => Path.GetDirectoryName(self)!;
}
