namespace ZfsLite.Cli;

/// <summary>A line of <c>kmem policies</c>.</summary>
public sealed class PolicyRow
{
    /// <summary>Its name.</summary>
    public string Policy { get; set; } = "";

    /// <summary>The year it stands for.</summary>
    public int Year { get; set; }

    /// <summary>Where it comes from.</summary>
    public string Source { get; set; } = "";

    /// <summary>What it turns on.</summary>
    public string TurnsOn { get; set; } = "";

    /// <summary>What it is known to lose to, and the scenario that shows it.</summary>
    public string LosesTo { get; set; } = "";
}
