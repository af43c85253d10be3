using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// A transport in memory: a test, the simulator or a fuzzer puts requests in and takes replies out. Built on the Spl
/// primitives alone, so it runs on both back ends. Managed arrays: it isn't made for speed.
/// </summary>
public sealed unsafe class MemoryFuseTransport : IFuseTransport
{
    private readonly Kmutex _mutex = new("fuse_memory");
    private readonly Kcondvar _requests = new("fuse_memory requests");
    private readonly Kcondvar _replies = new("fuse_memory replies");
    private readonly Queue<byte[]> _in = new();
    private readonly Queue<byte[]> _out = new();
    private bool _stopping;
    private bool _unmounted;

    /// <inheritdoc/>
    public bool IsStopping => _stopping;

    /// <summary>Requests that no worker has read yet.</summary>
    public int Pending => _in.Count;

    /// <summary>Puts a request in, whole and as it is.</summary>
    public void Submit(byte[] message)
    {
        _mutex.Enter();
        _in.Enqueue(message);
        _requests.Signal();
        _mutex.Exit();
    }

    /// <summary>Takes the next reply, or null at the deadline (<see cref="Kclock.NowNs"/>).</summary>
    public byte[]? TakeReply(long deadlineNs)
    {
        _mutex.Enter();
        bool inTime = true;
        while (inTime && _out.Count == 0)
        {
            inTime = _replies.WaitUntil(_mutex, deadlineNs);
        }

        byte[]? reply = _out.Count > 0 ? _out.Dequeue() : null;
        _mutex.Exit();
        return reply;
    }

    /// <summary>From now on reads give ENODEV, as after an unmount.</summary>
    public void Unmount()
    {
        _mutex.Enter();
        _unmounted = true;
        _requests.Broadcast();
        _mutex.Exit();
    }

    /// <inheritdoc/>
    public int Read(Iovec* pieces, int count, bool sleep, out bool waited)
    {
        _mutex.Enter();
        waited = _in.Count == 0;
        while (sleep && _in.Count == 0 && !_stopping && !_unmounted)
        {
            _requests.Wait(_mutex);
        }

        int result;
        if (_stopping)
        {
            result = -Errno.EINTR;
        }
        else if (_in.Count == 0)
        {
            result = _unmounted ? -Errno.ENODEV : -Errno.EAGAIN;
        }
        else
        {
            result = Scatter(_in.Dequeue(), pieces, count);
        }

        _mutex.Exit();
        return result;
    }

    /// <inheritdoc/>
    public int Write(Iovec* pieces, int count)
    {
        nuint total = 0;
        for (int i = 0; i < count; i++)
        {
            total += pieces[i].Length;
        }

        byte[] reply = new byte[total];
        int at = 0;
        for (int i = 0; i < count; i++)
        {
            new ReadOnlySpan<byte>(pieces[i].Base, (int)pieces[i].Length).CopyTo(reply.AsSpan(at));
            at += (int)pieces[i].Length;
        }

        _mutex.Enter();
        _out.Enqueue(reply);
        _replies.Signal();
        _mutex.Exit();
        return 0;
    }

    /// <inheritdoc/>
    public void EnterWorker()
    {
    }

    /// <inheritdoc/>
    public void LeaveWorker()
    {
    }

    /// <inheritdoc/>
    public void Stop()
    {
        _mutex.Enter();
        _stopping = true;
        _requests.Broadcast();
        _mutex.Exit();
    }

    private static int Scatter(byte[] message, Iovec* pieces, int count)
    {
        int at = 0;
        for (int i = 0; i < count && at < message.Length; i++)
        {
            int n = Math.Min((int)pieces[i].Length, message.Length - at);
            message.AsSpan(at, n).CopyTo(new Span<byte>(pieces[i].Base, n));
            at += n;
        }

        // A kernel never sends more than fits; here the rest is an error of the sender.
        return at == message.Length ? at : -Errno.EIO;
    }
}
