namespace ZfsLite.Torture;

/// <summary>A sync that returned.</summary>
/// <param name="Point">Writes and flushes that had been done when it returned.</param>
/// <param name="Step">The last step that it covers: of a file, the last one that changed it.</param>
/// <param name="Object">The file; 0: everything.</param>
internal sealed record CrashAck(int Point, int Step, ulong Object);
