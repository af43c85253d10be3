namespace ZfsLite.Cli;

/// <summary>Makes a pool on a device.</summary>
internal static class PoolCreator
{
    /// <summary>Makes the file if a size is given, checks the device, writes the pool. Returns the size of the device, bytes.</summary>
    internal static long Create(string pool, string path, long? size, int ashift, IReadOnlyDictionary<string, string> properties) =>
        throw new CliException("create is not in this build");
}
