namespace ZfsLite.Kmem;

/// <summary>One attribute of a cache, as a file in /sys/kernel/slab is.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Value">Its value now; empty for one that can only be written.</param>
/// <param name="Writable">Can it be set?</param>
public sealed record KmemTunable(string Name, string Value, bool Writable);
