using ZfsLite.Kmem;

namespace ZfsLite.TestKit;

/// <summary>The memory of a test: made at the start, given back at the end, when nothing may be left allocated.</summary>
public sealed class KmemScope : IDisposable
{
    private readonly bool _checkLeaks;

    /// <summary>Sets up an arena with poison fills.</summary>
    public KmemScope(long arenaBytes = 16 << 20, KmemPolicy policy = KmemPolicy.Fstrans, bool checkLeaks = true)
        : this(new KmemOptions { ArenaBytes = arenaBytes, Policy = policy, Poison = true, LockArena = false }, checkLeaks)
    {
    }

    /// <summary>Sets up an arena.</summary>
    public KmemScope(KmemOptions options, bool checkLeaks = true)
    {
        TestMemory.End();
        System = KmemSystem.Init(options);
        _checkLeaks = checkLeaks;
    }

    /// <summary>The system in force.</summary>
    public KmemSystem System { get; }

    /// <summary>Set by a test that ended early, so that its failure isn't hidden behind leaks.</summary>
    public bool Failed { get; set; }

    /// <inheritdoc/>
    public void Dispose()
    {
        string? leaks = _checkLeaks && !Failed ? System.DescribeLeaks() : null;
        KmemSystem.Shutdown();
        if (leaks is not null)
        {
            throw new InvalidOperationException("leaked: " + leaks);
        }
    }
}
