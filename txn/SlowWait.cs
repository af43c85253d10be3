namespace ZfsLite.Txn;

/// <summary>A wait that lasts long and is not part of a proven deadlock: the hung-task report.</summary>
/// <param name="Thread">The thread that waits.</param>
/// <param name="WaitedNs">For how long, so far.</param>
/// <param name="Chain">The waits from this thread on, to a thread that runs, or whose wait nobody in particular ends; empty: its own is such a wait, for a device.</param>
public sealed record SlowWait(WaitNode Thread, long WaitedNs, IReadOnlyList<WaitEdge> Chain)
{
    /// <summary>In one line: who waits, for how long, for what, and who stands behind it.</summary>
    public string ToLine()
    {
        string own = $"{Thread} has waited {WaitedNs / 1_000_000} ms for {Thread.WaitsFor}";
        if (Chain.Count == 0)
        {
            return own;
        }

        string chain = string.Join(", ", Chain.Select(static e => $"{e.From} needs {e.To} ({e.What})"));
        WaitNode last = Chain[^1].To;
        string end = last.WaitsFor is null ? $"{last} runs" : $"{last} has waited {(Thread.SinceNs + WaitedNs - last.SinceNs) / 1_000_000} ms for {last.WaitsFor}";
        return $"{own}; {chain}; {end}";
    }

    /// <summary>In one paragraph, with the thread's stack.</summary>
    public string ToText() => $"slow wait, not a deadlock: {ToLine()}\n{Thread.Stack}";
}
