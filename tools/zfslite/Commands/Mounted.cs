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

    /// <summary>The only daemon there is.</summary>
    internal static ControlClient Only(string command, string usage)
    {
        IReadOnlyList<ControlClient> all = ControlClient.All();
        return all.Count switch
        {
            0 => throw new CliException("no pool is mounted by zfslite", "mount one: " + CommandLine.UsageOf("mount")),
            1 => all[0],
            _ => throw CliException.Usage($"{command}: {all.Count} pools are mounted: name one", usage),
        };
    }

    /// <summary>The daemon that a word stands for, or without a word the only one there is. <paramref name="command"/>: such as "kmem slab".</summary>
    internal static ControlClient OneOrOnly(string? target, string command) =>
        target is null ? Only(command, CommandLine.UsageOf(command.Split(' ')[^1])) : One(target, command);

    /// <summary>
    /// Asks the daemon of a pool, or, if none has it and the words are its devices, opens the pool for this one question.
    /// </summary>
    internal static T Ask<T>(IReadOnlyList<string> target, bool readOnly, Func<ControlClient, T> mounted, Func<IPoolCommands, T> unmounted, bool withoutLog = false)
    {
        if (ControlClient.Find(target[0]) is { } client)
        {
            string? other = target.Skip(1).FirstOrDefault(t => !client.Hello.Devices.Contains(Path.GetFullPath(t)));
            return other is null ? mounted(client) : throw new CliException($"{other} is no device of the mounted pool {client.Hello.Pool}", "name one pool");
        }

        using OfflinePool pool = OfflinePool.Open([.. target.Select(DevicePath)], readOnly, withoutLog);
        return unmounted(pool);
    }

    /// <summary>
    /// Asks all that the words stand for, each once: daemons, and unmounted pools, where the devices of one pool belong together in
    /// whatever order they are named. In the order in which each is named first.
    /// </summary>
    internal static IReadOnlyList<T> AskEach<T>(IReadOnlyList<string> targets, Func<ControlClient, T> mounted, Func<IPoolCommands, T> unmounted)
    {
        var groups = new List<(object Key, ControlClient? Client, List<string> Devices)>();
        foreach (string target in targets)
        {
            ControlClient? client = ControlClient.Find(target);
            object key = client is not null ? client.Hello.Pid : PoolFinder.PoolOn(DevicePath(target)) is { } guid ? guid : target;
            (_, _, List<string>? devices) = groups.Find(g => g.Key.Equals(key));
            if (devices is null)
            {
                groups.Add((key, client, devices = []));
            }

            devices.Add(target);
        }

        return [.. groups.Select(g => g.Client is not null ? mounted(g.Client) : Ask(g.Devices, readOnly: true, mounted, unmounted))];
    }

    /// <summary>How many of the words, from the first on, are the target of a command: a pool, or devices, before the words that are not.</summary>
    internal static int TargetWords(IReadOnlyList<string> words, Func<string, bool> isOther) =>
        1 + words.Skip(1).TakeWhile(w => !isOther(w) && File.Exists(w)).Count();

    private static string DevicePath(string target)
    {
        string path = Path.GetFullPath(target);
        return File.Exists(path)
            ? path
            : throw new CliException($"{target} is neither a mounted pool or directory nor a device", "see what is mounted: zfslite status");
    }
}
