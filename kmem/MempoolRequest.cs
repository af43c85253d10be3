namespace ZfsLite.Kmem;

/// <summary>One line of an order to <see cref="Mempool.TakeAll"/>.</summary>
/// <param name="Pool">The pool.</param>
/// <param name="Count">Elements wanted of it: 1 to its <see cref="Mempool.MinElements"/>, all lines for one pool together.</param>
public readonly record struct MempoolRequest(Mempool Pool, int Count);
