namespace ZfsLite.Kmem;

/// <summary>A sleeping allocation found no memory for <see cref="KmemOptions.OomTimeoutNs"/>, and nothing was given back in
/// that time. Fatal: whoever needs the memory can't go on.</summary>
public sealed class KmemExhaustedException(string message) : InvalidOperationException(message);
