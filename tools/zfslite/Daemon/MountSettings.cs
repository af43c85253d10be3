using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>Everything a mount was asked for, checked.</summary>
internal sealed class MountSettings
{
    internal required IReadOnlyList<string> Devices { get; init; }
    internal required string Directory { get; init; }
    internal required MountOptions Options { get; init; }
    internal required long MemoryBytes { get; init; }
    internal required KmemPolicy Policy { get; init; }
    internal SlabEngineKind SlabEngine { get; init; }
    internal int SplSlabLimit { get; init; } = new SplEngineOptions().SlabLimit;
    internal required int TortureReclaim { get; init; }

    /// <summary>Which caches are watched, and how.</summary>
    internal SlabDebugSpec SlabDebug { get; init; } = SlabDebugSpec.None;

    /// <summary>Log devices may be missing.</summary>
    internal bool WithoutLog { get; init; }
    internal required bool Background { get; init; }
    internal required bool Trace { get; init; }
    internal required string? DeadlockSvg { get; init; }

    /// <summary>How long an unmount that a signal asked for may go on without progress, seconds.</summary>
    internal int UnmountLimitSeconds { get; init; } = UnmountGuard.LimitSecondsDefault;

    /// <summary>The mount options again, as text that parses to the same.</summary>
    internal string OptionsText => Options.ToString();

    /// <summary>The command line of the daemon that does the work of this one in the background.</summary>
    internal IReadOnlyList<string> DaemonArguments()
    {
        var words = new List<string> { "mount" };
        words.AddRange(Devices);
        words.Add(Directory);
        words.AddRange(["--memory", MemoryBytes.ToString(), "--policy", KmemLimits.NameOf(Policy), "--torture-reclaim", TortureReclaim.ToString()]);

        // Named even if it is the default, which the environment may change.
        words.AddRange(["--slab-engine", KmemLimits.NameOf(SlabEngine), "--spl-slab-limit", SplSlabLimit.ToString()]);

        if (SlabDebug.ToString() is { Length: > 0 } watched)
        {
            words.AddRange(["--slab-debug", watched]);
        }

        if (OptionsText.Length > 0)
        {
            words.AddRange(["-o", OptionsText]);
        }

        if (WithoutLog)
        {
            words.Add("-m");
        }

        if (Trace)
        {
            words.Add("-d");
        }

        if (UnmountLimitSeconds != UnmountGuard.LimitSecondsDefault)
        {
            words.AddRange(["--unmount-limit", UnmountLimitSeconds.ToString()]);
        }

        if (DeadlockSvg is not null)
        {
            words.AddRange(["--deadlock-svg", DeadlockSvg]);
        }

        return words;
    }
}
