namespace ZfsLite.Torture;

/// <summary>The slab model has seen what must not be.</summary>
internal sealed class SlabModelException(string message) : Exception(message);
