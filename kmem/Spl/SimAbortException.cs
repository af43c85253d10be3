namespace ZfsLite.Kmem.Spl;

/// <summary>Unwinds a simulated thread when its run has ended. Not to be caught, except by a handler that rethrows.</summary>
public sealed class SimAbortException() : Exception("the simulated run has ended");
