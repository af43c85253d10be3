namespace ZfsLite.Cli;

/// <summary>Runs the pool checker with a progress bar.</summary>
internal static class OfflineCheck
{
    internal static CheckInfo Run(CommandIo io, IReadOnlyList<string> devices, bool showProgress) =>
        throw new CliException("check is not in this build");
}
