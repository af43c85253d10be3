using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>Limits and names of the memory arena on the command line.</summary>
internal static class KmemLimits
{
    /// <summary>Smallest arena, bytes.</summary>
    internal const long MinBytes = 16L << 20;

    /// <summary>Arena of a mount that names none, bytes.</summary>
    internal const long DefaultBytes = 256L << 20;

    /// <summary>Arena of a command that opens a pool for one question, bytes.</summary>
    internal const long CommandBytes = 64L << 20;

    /// <summary>Name of a policy, state or mode as it is typed and shown.</summary>
    internal static string NameOf<T>(T value)
        where T : struct, Enum => value.ToString().ToLowerInvariant();
}
