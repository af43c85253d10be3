using System.Runtime.InteropServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// The kernel's /dev/fuse. Readers block in readv itself: one system call a request. A reader is woken by the kernel when the
/// file system is unmounted or aborted, and by <see cref="FuseWakeSignal"/> when this side stops (a mount that lives on in
/// another namespace never gives ENODEV). A signal that comes just before the call is lost, so Stop is called again until all
/// are out. Closing the descriptor afterwards ends whatever still waits for an answer.
/// </summary>
public sealed unsafe class KernelFuseTransport : IFuseTransport, IDisposable
{
    private readonly Kmutex _mutex = new("fuse_transport");
    private readonly List<Reader> _readers = [];
    private readonly int _fd;
    private int _stopping;
    private bool _closed;

    [ThreadStatic]
    private static Reader? t_reader;

    /// <summary>Takes over a descriptor of /dev/fuse that belongs to a mount.</summary>
    public KernelFuseTransport(int fd)
    {
        _fd = fd;
        _ = FuseWakeSignal.IsInstalled;
    }

    /// <inheritdoc/>
    public bool IsStopping => Volatile.Read(ref _stopping) != 0;

    /// <inheritdoc/>
    public int Read(Iovec* pieces, int count)
    {
        Reader reader = t_reader ?? throw new InvalidOperationException("EnterWorker comes first");
        Volatile.Write(ref reader.Reading, 1);
        Interlocked.MemoryBarrier();
        if (IsStopping)
        {
            Volatile.Write(ref reader.Reading, 0);
            return -Errno.EINTR;
        }

        nint n = FuseLibc.ReadV(_fd, pieces, count);
        int error = n < 0 ? Marshal.GetLastPInvokeError() : 0;
        Volatile.Write(ref reader.Reading, 0);
        return n < 0 ? -error : (int)n;
    }

    /// <inheritdoc/>
    public int Write(Iovec* pieces, int count)
    {
        while (FuseLibc.WriteV(_fd, pieces, count) < 0)
        {
            int error = Marshal.GetLastPInvokeError();
            if (error != Errno.EINTR)
            {
                return -error;
            }
        }

        return 0;
    }

    /// <inheritdoc/>
    public void EnterWorker()
    {
        FuseIoFlusher.TryEnable();
        var reader = new Reader { Tid = FuseLibc.GetTid() };
        t_reader = reader;
        _mutex.Enter();
        _readers.Add(reader);
        _mutex.Exit();
    }

    /// <inheritdoc/>
    public void LeaveWorker()
    {
        _mutex.Enter();
        _readers.Remove(t_reader!);
        _mutex.Exit();
        t_reader = null;
    }

    /// <inheritdoc/>
    public void Stop()
    {
        Interlocked.Exchange(ref _stopping, 1);
        _mutex.Enter();
        foreach (Reader reader in _readers)
        {
            if (Volatile.Read(ref reader.Reading) != 0)
            {
                FuseWakeSignal.Send(reader.Tid);
            }
        }

        _mutex.Exit();
    }

    /// <summary>Closes the descriptor: the kernel then aborts what is left of the connection. No worker may be reading.</summary>
    public void Dispose()
    {
        if (!_closed)
        {
            _closed = true;
            FuseLibc.Close(_fd);
        }
    }

    private sealed class Reader
    {
        internal int Tid;
        internal int Reading;
    }
}
