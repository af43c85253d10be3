namespace ZfsLite.Kmem.Spl;

/// <summary>How a simulated run ended.</summary>
public enum SimOutcome
{
    /// <summary>The main body returned.</summary>
    Completed,

    /// <summary>Nobody could run and no deadline was left, or <see cref="SimOptions.OnIdle"/> said so.</summary>
    Deadlock,

    /// <summary>The bound on the number of steps was reached.</summary>
    StepLimit,

    /// <summary>A thread threw: see <see cref="SimResult.Failure"/>.</summary>
    Failed,
}
