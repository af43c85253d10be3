namespace ZfsLite.Kmem.Spl;

/// <summary>What decides a simulated run. Equal options and an equal body give an equal run.</summary>
public sealed record SimOptions
{
    /// <summary>Seed of the schedule and of <see cref="Krandom"/>.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>How the next thread is picked.</summary>
    public SimStrategy Strategy { get; init; } = SimStrategy.Random;

    /// <summary>Bound on scheduling points.</summary>
    public long MaxSteps { get; init; } = 1_000_000;

    /// <summary>Random strategy: probability of a switch at each point, 0 to 1.</summary>
    public double SwitchProbability { get; init; } = 0.25;

    /// <summary>PCT: the depth d; d - 1 change points.</summary>
    public int PctDepth { get; init; } = 3;

    /// <summary>PCT: over how many steps the change points are spread. About the length of a run.</summary>
    public int PctHorizon { get; init; } = 1000;

    /// <summary>PCT: after how many steps in a row a thread that never blocks falls to the bottom, so that spinning ends.</summary>
    public int PctPatience { get; init; } = 2000;

    /// <summary>Virtual nanoseconds that each step takes.</summary>
    public long StepNs { get; init; } = 100;

    /// <summary>Whether blocked threads record their stacks when a deadlock is reported.</summary>
    public bool RecordStacks { get; init; } = true;

    /// <summary>
    /// Called at a deadlock, before anything is unwound: <see cref="Kthread.All"/> shows who waits for what. It must not block.
    /// </summary>
    public Action? OnDeadlock { get; init; }

    /// <summary>
    /// Called when nobody is runnable and time is about to jump; true declares a deadlock (a cycle beside a thread that only
    /// wakes up now and then). It must not block.
    /// </summary>
    public Func<bool>? OnIdle { get; init; }
}
