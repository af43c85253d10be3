using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Who reads requests. A worker reads only with a turn, keeps it while it handles what it read, and loses it when it is
/// about to block. So a lone client is served by one warm thread that may look for the next request before it sleeps, and
/// nothing is woken per request; any other reader that slept in the kernel would be woken by the next request, on the
/// client's own processor. Workers without a turn follow: they wait here, not in the kernel.
/// </summary>
/// <remarks>
/// <para>One turn at rest; another while requests wait that nobody has read (<see cref="Want"/>), up to a limit; a worker that
/// finds nothing to read gives up one that is not the last (<see cref="TryRetire"/>).</para>
/// <para>Whatever blocks without going through Spl or <see cref="Kthread.AboutToBlock"/> keeps its turn; <see cref="Tick"/>
/// finds that out within two ticks and lets a follower read.</para>
/// <para>Lock order: fuse_turn is a leaf, taken with any lock held, for Give runs wherever a worker is about to block.</para>
/// </remarks>
internal sealed class FuseTurns
{
    private static readonly IdleWait s_follow = new("turn to read requests");

    private readonly Kmutex _mutex = new("fuse_turn");
    private readonly Kcondvar _free = new("fuse_turn");
    private readonly int _max;
    private int _active;
    private int _wanted = 1;
    private int _followers;
    private long _seen = -1;

    /// <summary>Makes a set of turns.</summary>
    /// <param name="max">Most at a time, at least 1.</param>
    internal FuseTurns(int max) => _max = max;

    /// <summary>Workers that have a turn.</summary>
    internal int Active => Katomic.Load(ref _active);

    /// <summary>Workers that wait for one.</summary>
    internal int Followers => Katomic.Load(ref _followers);

    /// <summary>A worker is being started that will follow.</summary>
    internal void Expect()
    {
        _mutex.Enter();
        _followers++;
        _mutex.Exit();
    }

    /// <summary>Waits for a turn.</summary>
    /// <param name="expected">The caller was announced by <see cref="Expect"/>.</param>
    internal void Take(bool expected)
    {
        _mutex.Enter();
        _followers += expected ? 0 : 1;
        while (_active >= _wanted)
        {
            _free.Wait(_mutex, s_follow);
        }

        _followers--;
        _active++;
        _mutex.Exit();
    }

    /// <summary>Gives a turn up; a follower has it.</summary>
    internal void Give()
    {
        _mutex.Enter();
        _active--;
        if (_active < _wanted)
        {
            _free.Signal();
        }

        _mutex.Exit();
    }

    /// <summary>Requests wait: one more reader, if there may be one.</summary>
    internal void Want()
    {
        _mutex.Enter();
        if (_wanted < _max && _followers > 0)
        {
            _wanted++;
            _free.Signal();
        }

        _mutex.Exit();
    }

    /// <summary>Gives a turn up for good, unless it is the last.</summary>
    internal bool TryRetire()
    {
        _mutex.Enter();
        bool retired = _active > 1;
        if (retired)
        {
            _active--;
            _wanted = Math.Max(1, _wanted - 1);
        }

        _mutex.Exit();
        return retired;
    }

    /// <summary>Called now and then. A holder that neither reads nor finished anything since the last call is stuck.</summary>
    /// <param name="reading">A worker is in the transport's read.</param>
    /// <param name="handled">Requests handled so far.</param>
    internal void Tick(bool reading, long handled)
    {
        _mutex.Enter();
        if (!reading && _active > 0 && handled == _seen && _followers > 0)
        {
            _wanted++;
            _free.Signal();
        }

        _seen = reading ? -1 : handled;
        _mutex.Exit();
    }
}
