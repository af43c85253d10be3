namespace ZfsLite.TestKit;

/// <summary>The other implementation's checker.</summary>
public static class Zdb
{
    /// <summary>Runs zdb -bcc on the pool whose devices lie in a folder (one copy of it only); one at a time on the machine.</summary>
    public static (int ExitCode, string Output) Check(string folder, string pool) => ZfsFuseTools.ZdbCheck(folder, pool);

    /// <summary>True if zdb found every block good and no leak.</summary>
    public static bool IsClean(int exitCode, string output) =>
        exitCode == 0 && output.Contains("No leaks (block sum matches space maps exactly)", StringComparison.Ordinal);
}
