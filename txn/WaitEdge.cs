namespace ZfsLite.Txn;

/// <summary>One claim of the wait-for graph: the wait of <paramref name="From"/> can't end before <paramref name="To"/> goes on.</summary>
/// <param name="From">The thread that waits.</param>
/// <param name="To">A thread that must act.</param>
/// <param name="What">What is waited for.</param>
public sealed record WaitEdge(WaitNode From, WaitNode To, string What);
