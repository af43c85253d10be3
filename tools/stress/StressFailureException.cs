namespace ZfsLite.Stress;

/// <summary>The file system broke a promise.</summary>
internal sealed class StressFailureException(string message) : Exception(message);
