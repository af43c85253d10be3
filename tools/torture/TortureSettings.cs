namespace ZfsLite.Torture;

/// <summary>What a run was asked for.</summary>
internal sealed record TortureSettings
{
    /// <summary>Schedules of the slab engines.</summary>
    internal const string Kmem = "kmem";

    /// <summary>Crashes of the whole stack. Also the name of its one engine.</summary>
    internal const string Crash = "crash";

    /// <summary>Hostile images. Its engines are the clean pools that they are made from.</summary>
    internal const string Images = "images";

    /// <summary>How many the long forms do: schedules, states, images.</summary>
    internal const long KmemAim = 1_000_000, CrashAim = 1_000_000, ImagesAim = 100_000;

    /// <summary>kmem, crash or images.</summary>
    public required string Torture { get; init; }

    /// <summary>Engines under test: each seed is run on each of them.</summary>
    public required IReadOnlyList<string> Engines { get; init; }

    /// <summary>First seed.</summary>
    public required ulong FirstSeed { get; init; }

    /// <summary>Schedules in all; null: until something else ends it.</summary>
    public required long? Schedules { get; init; }

    /// <summary>crash: states in all; it ends with the schedule that reaches them.</summary>
    public long? States { get; init; }

    /// <summary>How long at most; null: as long as it takes.</summary>
    public TimeSpan? Time { get; init; }

    /// <summary>Where the state is kept.</summary>
    public required string StateFile { get; init; }

    /// <summary>Goes on where the state ends.</summary>
    public bool Resume { get; init; }

    /// <summary>Processes at once.</summary>
    public required int Workers { get; init; }

    /// <summary>For tests: a fault to plant, and the seed to plant it in.</summary>
    public string Plant { get; init; } = nameof(SlabFault.None);

    /// <summary>The seed.</summary>
    public ulong PlantSeed { get; init; }

    /// <summary>crash: zdb judges one in so many states; 0: none.</summary>
    public int ZdbOneIn { get; init; }

    /// <summary>The program that runs zdb.</summary>
    public string Zfslite { get; init; } = "";

    /// <summary>Progress is counted in states, not in schedules.</summary>
    public bool CountsStates => Torture == Crash;

    /// <summary>How many the long form does.</summary>
    public long Aim => Torture switch { Crash => CrashAim, Images => ImagesAim, _ => KmemAim };

    /// <summary>What is counted.</summary>
    public string Unit => Torture switch { Crash => "states", Images => "images", _ => "schedules" };

    /// <summary>Seeds that a worker is given at a time: some seconds' work.</summary>
    public int OrderSeeds => Torture switch { Crash => 1, Images => 25, _ => 200 };

    /// <summary>The seed behind the last one, rounded up to whole seeds.</summary>
    public ulong EndSeed => Schedules is { } n ? FirstSeed + (ulong)((n + Engines.Count - 1) / Engines.Count) : ulong.MaxValue;
}
