namespace ZfsLite.Torture;

/// <summary>Something acknowledged is lost, or something is there that nobody wrote.</summary>
internal sealed class KillFailureException(string message) : Exception(message);
