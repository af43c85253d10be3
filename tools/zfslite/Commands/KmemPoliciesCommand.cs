using System.CommandLine;
using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>zfslite kmem policies</summary>
internal static class KmemPoliciesCommand
{
    internal static Command Build(CommandIo io)
    {
        var command = new Command("policies", "Shows the memory policies: what each turns on, where it comes from, what it loses to.");
        Option<bool> json = CommonOptions.Json();
        command.Options.Add(json);
        command.SetAction(parsed => Run(io, parsed.GetValue(json)));
        return command;
    }

    /// <summary>All policies, in the order of history.</summary>
    internal static IReadOnlyList<PolicyRow> Rows() => [.. Enum.GetValues<KmemPolicy>().Select(RowOf)];

    private static int Run(CommandIo io, bool json)
    {
        IReadOnlyList<PolicyRow> rows = Rows();
        if (json)
        {
            io.Rows(rows, json, ControlJson.Default.ListPolicyRow, []);
            return ExitCode.Ok;
        }

        foreach (PolicyRow row in rows)
        {
            io.Out.WriteLine($"{row.Policy} ({row.Year}){(row.Policy == KmemLimits.NameOf(KmemPolicy.Fstrans) ? ", the default" : "")}");
            io.Out.WriteLine($"  turns on  {row.TurnsOn}");
            io.Out.WriteLine($"  from      {row.Source}");
            io.Out.WriteLine($"  loses to  {row.LosesTo}");
        }

        return ExitCode.Ok;
    }

    private static PolicyRow RowOf(KmemPolicy policy) => policy switch
    {
        KmemPolicy.None => Row(
            policy,
            2011,
            "ZFS on Linux before KM_PUSHPAGE; the deadlock is the one told in the kmem rework, spl pull request 369",
            "nothing: any sleeping allocation may run every shrinker; SPL caches grow in the caller",
            "the recursive transaction: reclaim inside a transaction opens another one (lab recursive-tx --policy none)"),
        KmemPolicy.PushPage => Row(
            policy,
            2012,
            "KM_PUSHPAGE of spl 0.6; its race is told in spl pull request 369 (2014)",
            "allocations inside a transaction say KM_PUSHPAGE: no I/O, no file system, half of the reserve; SPL caches grow in a worker, with the first caller's flags for all",
            "the growth race: a KM_SLEEP caller began the growth that a KM_PUSHPAGE caller waits for (lab growth-race --policy pushpage)"),
        KmemPolicy.Emergency => Row(
            policy,
            2012,
            "spl commit e2dcc6e2b8, emergency slab objects",
            "as pushpage; who waits too long for a slab mapped by vmalloc gets the pages of one object with its own flags",
            "the growth worker in the file system, for a cache of contiguous pages, where nobody looks at the time (lab growth-race --policy emergency --cache kmem)"),
        KmemPolicy.TxCookie => Row(
            policy,
            2014,
            "the kmem rework, spl pull request 369, and the marks of zfs commit 0a6fa0e, as first proposed",
            "a mark from the assignment of a transaction to its end, under which KM_SLEEP is KM_PUSHPAGE; emergency objects for every SPL cache",
            "whoever holds a lock but no transaction, and so no mark (lab held-lock --policy txcookie)"),
        KmemPolicy.Fstrans => Row(
            policy,
            2015,
            "zfs commits 40d06e3, 7fad629, a438ff0 and spl commit 043f9b5, with the reserve of this project",
            "entry points and workers are marked, the growth worker too: their reclaim keeps out of the file system; KM_PUSHPAGE is for the reserve; reclaim never waits for a transaction",
            "a large KM_SLEEP allocation under a lock that transactions take: the mark keeps it out of the file system, but only KM_PUSHPAGE gets it memory (lab held-lock --no-reserve --runs 300)"),
        _ => throw new InvalidOperationException($"policy {policy} is not described"),
    };

    private static PolicyRow Row(KmemPolicy policy, int year, string source, string turnsOn, string losesTo) =>
        new() { Policy = KmemLimits.NameOf(policy), Year = year, Source = source, TurnsOn = turnsOn, LosesTo = losesTo };
}
