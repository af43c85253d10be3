namespace ZfsLite.Kmem.Spl;

/// <summary>A thread that was blocked when a run ended.</summary>
/// <param name="Thread">Its name and number.</param>
/// <param name="WaitsFor">What it waited for.</param>
/// <param name="Owners">Who could have ended the wait, as far as known.</param>
/// <param name="Stack">Its managed stack, if stacks are recorded.</param>
public sealed record SimBlocked(string Thread, string WaitsFor, IReadOnlyList<string> Owners, string? Stack)
{
    /// <inheritdoc/>
    public override string ToString() =>
        $"{Thread} waits for {WaitsFor}" + (Owners.Count == 0 ? string.Empty : $" held by {string.Join(", ", Owners)}");
}
