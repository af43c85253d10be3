namespace ZfsLite.Cli;

/// <summary>The daemon of one mount.</summary>
internal static class MountDaemon
{
    internal static int Run(CommandIo io, MountSettings settings) => throw new CliException("mount is not in this build");
}
