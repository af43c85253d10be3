using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>The arena of a command that opens a pool for one task: made here, given back at the end.</summary>
internal sealed class CommandMemory : IDisposable
{
    private CommandMemory()
    {
    }

    /// <summary>Sets the arena up; dispose when every pool is closed.</summary>
    internal static CommandMemory Use(long bytes = KmemLimits.CommandBytes)
    {
        _ = KmemSystem.Init(new KmemOptions { ArenaBytes = bytes, Policy = KmemPolicy.Fstrans, LockArena = false });
        return new CommandMemory();
    }

    /// <inheritdoc/>
    public void Dispose() => KmemSystem.Shutdown();
}
