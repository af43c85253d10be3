namespace ZfsLite.Kmem.Spl;

/// <summary>Two lock classes were taken in both orders, or one twice: a deadlock that some timing can bring about.</summary>
/// <param name="Held">The class that was held.</param>
/// <param name="Taken">The class that was taken under it.</param>
/// <param name="Cycle">The classes of the cycle, beginning with <paramref name="Taken"/> and ending with <paramref name="Held"/>.</param>
/// <param name="Text">Both chains, with the thread, what it held and its stack for each edge.</param>
public sealed record LockOrderViolation(string Held, string Taken, IReadOnlyList<string> Cycle, string Text)
{
    /// <inheritdoc/>
    public override string ToString() => Text;
}
