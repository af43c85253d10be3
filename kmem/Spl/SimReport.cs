namespace ZfsLite.Kmem.Spl;

/// <summary>Reads off who waits for what when a run ends.</summary>
internal static class SimReport
{
    internal static List<SimBlocked> Blocked(List<SimThread> live)
    {
        var blocked = new List<SimBlocked>();
        var owners = new List<Kthread>();
        foreach (SimThread t in live)
        {
            if (t.Thread.WaitingFor is { } what)
            {
                owners.Clear();
                what.CollectOwners(owners);
                string[] names = [.. owners.Distinct().Select(static o => o.ToString())];
                blocked.Add(new SimBlocked(t.Thread.ToString(), what.WaitName, names, t.Thread.WaitStack));
            }
        }

        return blocked;
    }
}
