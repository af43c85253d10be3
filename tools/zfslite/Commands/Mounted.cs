namespace ZfsLite.Cli;

/// <summary>Finds what a command is about: a mounted pool's daemon, or an unmounted pool by its device.</summary>
internal static class Mounted
{
    /// <summary>The daemons that the words stand for; all if there are none. A word without a daemon is an error.</summary>
    internal static IReadOnlyList<ControlClient> Clients(string[] targets, string command)
    {
        if (targets.Length == 0)
        {
            IReadOnlyList<ControlClient> all = ControlClient.All();
            return all.Count > 0 ? all : throw new CliException("no pool is mounted by zfslite", "mount one: " + CommandLine.UsageOf("mount"));
        }

        return [.. targets.Select(t => One(t, command))];
    }

    /// <summary>The daemon that a word stands for.</summary>
    internal static ControlClient One(string? target, string command) =>
        target is null
            ? throw CliException.Usage($"{command}: no pool given", CommandLine.UsageOf(command))
            : ControlClient.Find(target)
                ?? throw new CliException($"{target} is not a pool or directory that zfslite has mounted", "see what is: zfslite status");

    /// <summary>
    /// Asks the daemon of a pool, or, if none has it and the word is a device, opens the pool for this one question.
    /// </summary>
    internal static T Ask<T>(string target, bool readOnly, Func<ControlClient, T> mounted, Func<IPoolCommands, T> unmounted)
    {
        if (ControlClient.Find(target) is { } client)
        {
            return mounted(client);
        }

        string path = Path.GetFullPath(target);
        if (!File.Exists(path))
        {
            throw new CliException($"{target} is neither a mounted pool or directory nor a device", "see what is mounted: zfslite status");
        }

        using OfflinePool pool = OfflinePool.Open([path], readOnly);
        return unmounted(pool);
    }
}
