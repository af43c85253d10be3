using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// A mounted FUSE file system: mount, session and unmount in one. The pool behind it is the caller's: it closes it after
/// <see cref="WaitEnded"/>.
/// </summary>
/// <remarks>
/// How it ends. (1) Somebody unmounts: the kernel writes what it has cached, then every reader gets ENODEV. (2)
/// <see cref="RequestUnmount"/> (a signal, the unmount command): a thread of its own unmounts; with files open it has the
/// kernel write its cache out, detaches the mount, and serves until the last file is closed or the grace is over; then, or
/// if the mount lives on in another namespace, it stops the readers and closes the descriptor, which ends the connection.
/// (3) <see cref="Abort"/>: everything that waits fails at once; for a daemon that is stuck.
/// </remarks>
public sealed class FuseServer : IDisposable
{
    private const long StopNs = 5_000_000_000;

    private readonly FuseMountOptions _options;
    private readonly FuseMounter _mounter;
    private readonly KernelFuseTransport _transport;
    private readonly KernelPageFlusher _pages;
    private readonly Kmutex _mutex = new("fuse_server");
    private Kthread? _unmounter;
    private bool _disposed;

    private FuseServer(FuseMountOptions options, FuseMounter mounter, KernelFuseTransport transport, FuseSession session, KernelPageFlusher pages)
    {
        _pages = pages;
        _options = options;
        _mounter = mounter;
        _transport = transport;
        Session = session;
    }

    /// <summary>The conversation with the kernel: statistics, workers.</summary>
    public FuseSession Session { get; }

    /// <summary>The directory, as the mount table names it.</summary>
    public string MountPoint => _mounter.MountPoint;

    /// <summary>The connection's number under /sys/fs/fuse/connections.</summary>
    public int Connection => _mounter.Connection;

    /// <summary>True when the kernel no longer asks anything.</summary>
    public bool HasEnded => Session.HasEnded;

    /// <summary>Mounts, and returns when the mount is usable.</summary>
    /// <exception cref="FuseMountException">It can't be done; the message is one line for the user.</exception>
    public static FuseServer Start(IFuseFileSystem fs, FuseMountOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        FuseSessionOptions sessionOptions = FuseSessionOptions.ForArena(options.Trace, options.Log, options.WritebackCache && !options.ReadOnly);
        var dispatcher = new FuseDispatcher(fs, options.Log, sessionOptions.WritebackCache);
        FuseMounter mounter = FuseMounter.Mount(options, sessionOptions.MaxWrite);
        var transport = new KernelFuseTransport(mounter.Fd);
        var pages = new KernelPageFlusher(mounter.MountPoint, mounter.Connection);
        var session = new FuseSession(transport, dispatcher, sessionOptions) { PageFlusher = pages };
        var server = new FuseServer(options, mounter, transport, session, pages);
        session.Start();
        if (!session.WaitInitialised(Kclock.NowNs + StopNs))
        {
            mounter.Unmount(lazy: true);
            session.Stop(Kclock.NowNs + StopNs);
            server.Dispose();
            throw new FuseMountException($"{options.MountPoint}: the kernel's FUSE did not accept the mount");
        }

        mounter.RaiseReadahead(sessionOptions.MaxWrite);
        return server;
    }

    /// <summary>Begins to unmount and returns at once. Any thread may call it, more than once.</summary>
    public void RequestUnmount()
    {
        _mutex.Enter();
        _unmounter ??= Kthread.Start("fuse_unmount", Unmount);
        _mutex.Exit();
    }

    /// <summary>Waits until the file system is unmounted and every request is done. False at the deadline.</summary>
    /// <param name="deadlineNs">In <see cref="Kclock.NowNs"/> terms; long.MaxValue: for ever.</param>
    public bool WaitEnded(long deadlineNs = long.MaxValue) => Session.WaitEnded(deadlineNs);

    /// <summary>
    /// Breaks the connection: every process that waits for this file system gets an error now. For a daemon that can't go on.
    /// False if the system gave no way to do it.
    /// </summary>
    public bool Abort() => _mounter.Abort();

    /// <summary>Unmounts if need be, and frees what the mount holds.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        if (!HasEnded)
        {
            RequestUnmount();
            WaitEnded();
        }

        _disposed = true;
        _unmounter?.Join();
        WaitEnded();
        _pages.Dispose();
        _transport.Dispose();
    }

    private void Unmount()
    {
        long deadline = Kclock.NowNs + _options.UnmountGraceNs;
        int error = _mounter.Unmount(lazy: false);
        if (error != 0)
        {
            _options.Log?.WriteLine($"{MountPoint}: in use; detached, and served for up to {_options.UnmountGraceNs / 1_000_000_000} s until open files are closed");
            _mounter.FlushKernelCache();
            _mounter.Unmount(lazy: true);
        }

        if (!Session.WaitEnded(deadline) && !Session.Stop(Kclock.NowNs + StopNs))
        {
            _options.Log?.WriteLine($"{MountPoint}: requests are stuck; the connection is broken off");
            Abort();
        }
    }
}
