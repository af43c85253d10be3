using System.Diagnostics;
using System.Runtime.InteropServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// The kernel's /dev/fuse. The next request of a busy client comes within microseconds of the last reply, and to be woken
/// for it costs more than to look for it: two interrupts between processors, 15 to 20 µs of the 25 that a small request takes in a
/// virtual machine. So a reader that finds nothing tries again for <see cref="SpinNs"/> before it sleeps in poll, as long as that
/// pays: tries that came to nothing use up a credit that successful ones earn. A reader is woken by the kernel when the
/// file system is unmounted or aborted, and by <see cref="FuseWakeSignal"/> when this side stops (a mount that lives on in
/// another namespace never gives ENODEV). A signal that comes just before the call is lost, so Stop is called again until all
/// are out. Closing the descriptor afterwards ends whatever still waits for an answer.
/// </summary>
public sealed unsafe class KernelFuseTransport : IFuseTransport, IDisposable
{
    private readonly Kmutex _mutex = new("fuse_transport");
    private readonly List<Reader> _readers = [];
    private const long SpinNs = 30_000;
    private const int CreditMax = 16;
    private const int TryAnywayEvery = 64;

    private static readonly long s_spinTicks = Environment.ProcessorCount > 1 ? SpinNs * Stopwatch.Frequency / 1_000_000_000 : 0;

    private readonly int _fd;
    private int _credit = CreditMax;
    private int _sleeps;
    private int _stopping;
    private bool _closed;

    [ThreadStatic]
    private static Reader? t_reader;

    /// <summary>Takes over a descriptor of /dev/fuse that belongs to a mount.</summary>
    public KernelFuseTransport(int fd)
    {
        _fd = fd;
        _ = FuseLibc.Fcntl(fd, FuseLibc.FSetfl, FuseLibc.ORdwr | FuseLibc.ONonblock);
        _ = FuseWakeSignal.IsInstalled;
    }

    /// <inheritdoc/>
    public bool IsStopping => Volatile.Read(ref _stopping) != 0;

    /// <inheritdoc/>
    public int Read(Iovec* pieces, int count, bool sleep, out bool waited)
    {
        waited = false;
        Reader reader = t_reader ?? throw new InvalidOperationException("EnterWorker comes first");
        Volatile.Write(ref reader.Reading, 1);
        Interlocked.MemoryBarrier();
        if (IsStopping)
        {
            Volatile.Write(ref reader.Reading, 0);
            return -Errno.EINTR;
        }

        int result = TryRead(pieces, count);
        if (result == -Errno.EAGAIN)
        {
            waited = true;
            result = Spin(pieces, count);
            while (result == -Errno.EAGAIN && sleep)
            {
                var fd = new FuseLibc.PollFd { Fd = _fd, Events = FuseLibc.PollIn };
                result = FuseLibc.Poll(&fd, 1, -1) < 0 ? -Marshal.GetLastPInvokeError() : TryRead(pieces, count);
            }
        }

        Volatile.Write(ref reader.Reading, 0);
        return result;
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

    private int TryRead(Iovec* pieces, int count)
    {
        nint n = FuseLibc.ReadV(_fd, pieces, count);
        return n < 0 ? -Marshal.GetLastPInvokeError() : (int)n;
    }

    private int Spin(Iovec* pieces, int count)
    {
        if (s_spinTicks == 0 || (_credit == 0 && ++_sleeps % TryAnywayEvery != 0))
        {
            return -Errno.EAGAIN;
        }

        long end = Stopwatch.GetTimestamp() + s_spinTicks;
        int result;
        do
        {
            Thread.SpinWait(8);
            result = TryRead(pieces, count);
        }
        while (result == -Errno.EAGAIN && Stopwatch.GetTimestamp() < end);

        _credit = Math.Clamp(_credit + (result == -Errno.EAGAIN ? -1 : 1), 0, CreditMax);
        return result;
    }

    private sealed class Reader
    {
        internal int Tid;
        internal int Reading;
    }
}
