using System.Globalization;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Flushes pages as any process can: a thread opens the file through the mount, by its handle, and calls sync_file_range, which
/// takes no lock of the inode. (The client whose request is being answered holds that: fsync would wait for it for ever.)
/// </summary>
/// <remarks>
/// <para>The notification FUSE_NOTIFY_INVAL_INODE would do it too, and must not be used for it. The kernel carries it out inside
/// our write to /dev/fuse: it waits for our own answers, uninterruptibly. A daemon killed in that moment leaves a thread that
/// never ends, with /dev/fuse open, so that the connection is never broken off: every process on the mount hangs, and the pool's
/// devices stay taken. (It also sends one page at a time.)</para>
/// <para>So the thread has a descriptor table of its own. When the daemon is killed the other threads' table goes, /dev/fuse
/// with it, the kernel breaks the connection off, and what this thread waits for ends with an error. In its table are only the
/// standard descriptors, and the memory files that the runtime maps code from whenever a thread compiles something. Hence the thread
/// must do nothing with a descriptor of anybody else (no log, no pool), and no signal may be handled here, for the runtime's
/// handlers write to a pipe.</para>
/// <para>Needs CAP_DAC_READ_SEARCH, the mount at its place in this namespace, and a kernel whose pages stay under writeback until the
/// daemon has answered and whose close takes no lock either (<see cref="OldestMinor"/>).</para>
/// </remarks>
internal sealed unsafe class KernelPageFlusher(string mountPoint, int connection) : IFusePageFlusher, IDisposable
{
    /// <summary>The oldest kernel interface on which this was seen to work (Linux 6.18).</summary>
    internal const int OldestMinor = 45;

    private const int HandleBytes = 12;
    private const int HandleType = 0x81;
    private const int WaitWriteWait = 7;

    /// <summary>The signals that come to a process as a whole: all up to 31 but those of faults.</summary>
    private const ulong ProcessSignals = 0x7FFFFFFF & ~((1UL << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 10) | (1 << 30));

    private static readonly IdleWait s_idle = new("page flush to do");

    private readonly Kmutex _mutex = new("fuse_pages");
    private readonly Kcondvar _changed = new("fuse_pages");
    private Kthread? _thread;
    private State _state;
    private ulong _nodeId;
    private ulong _generation;
    private bool _flushed;

    private enum State
    {
        Idle,
        Asked,
        Done,
        Ending,
    }

    /// <inheritdoc/>
    public bool Flush(ulong nodeId, ulong generation)
    {
        _mutex.Enter();
        _thread ??= Kthread.Start("fuse_pages", Work);
        _nodeId = nodeId;
        _generation = generation;
        _state = State.Asked;
        _changed.Broadcast();
        while (_state == State.Asked)
        {
            _changed.Wait(_mutex);
        }

        bool flushed = _state == State.Done && _flushed;
        _mutex.Exit();
        return flushed;
    }

    /// <summary>Ends the thread. Nobody may be calling, and no request wait for an answer.</summary>
    public void Dispose()
    {
        _mutex.Enter();
        _state = State.Ending;
        _changed.Broadcast();
        _mutex.Exit();
        _thread?.Join();
    }

    private void Work()
    {
        bool alone = LeaveTable();
        _mutex.Enter();
        while (_state != State.Ending)
        {
            if (_state != State.Asked)
            {
                _changed.Wait(_mutex, s_idle);
                continue;
            }

            _mutex.Exit();
            bool flushed = alone && FlushFile();
            _mutex.Enter();
            _flushed = flushed;
            _state = _state == State.Ending ? State.Ending : State.Done;
            _changed.Broadcast();
        }

        _mutex.Exit();
    }

    private static bool LeaveTable()
    {
        ulong* signals = stackalloc ulong[16];
        new Span<ulong>(signals, 16).Clear();
        signals[0] = ProcessSignals;
        List<uint>? kept = MemoryFiles();
        if (kept is null || FuseLibc.SigMask(0, signals, null) != 0 || FuseLibc.Unshare(FuseLibc.CloneFiles) != 0)
        {
            return false;
        }

        bool closed = true;
        uint first = 3;
        foreach (uint fd in kept)
        {
            closed &= fd <= first || FuseLibc.CloseRange(first, fd - 1, 0) == 0;
            first = Math.Max(first, fd + 1);
        }

        return closed && FuseLibc.CloseRange(first, uint.MaxValue, 0) == 0;
    }

    /// <summary>The descriptors of memory files, in order; null if they can't be found.</summary>
    private static List<uint>? MemoryFiles()
    {
        try
        {
            var found = new List<uint>();
            foreach (string path in Directory.EnumerateFileSystemEntries("/proc/self/fd"))
            {
                string? target = new FileInfo(path).LinkTarget;
                if (target is not null && (target.StartsWith("/memfd:", StringComparison.Ordinal) || target.StartsWith("/dev/shm/", StringComparison.Ordinal)))
                {
                    found.Add(uint.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture));
                }
            }

            found.Sort();
            return found;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private bool FlushFile()
    {
        int root = FuseLibc.Open(mountPoint, FuseLibc.ORdonly | FuseLibc.OCloexec);
        if (root < 0)
        {
            return false;
        }

        int file = IsOurs(root) ? OpenByHandle(root) : -1;
        FuseLibc.Close(root);
        if (file < 0)
        {
            return false;
        }

        bool flushed = FuseLibc.SyncFileRange(file, 0, 0, WaitWriteWait) == 0;
        FuseLibc.Close(file);
        return flushed;
    }

    /// <summary>Something else may have been mounted there since.</summary>
    private bool IsOurs(int root)
    {
        const int emptyPath = 0x1000, dontSync = 0x4000, devMajor = 34, devMinor = 35;
        uint* status = stackalloc uint[64];
        return FuseLibc.Statx(root, string.Empty, emptyPath | dontSync, 0, status) == 0 && status[devMajor] == 0 && status[devMinor] == (uint)connection;
    }

    private int OpenByHandle(int root)
    {
        // struct file_handle, and in it what the kernel's FUSE makes: node id, upper half first, and generation.
        uint* handle = stackalloc uint[] { HandleBytes, HandleType, (uint)(_nodeId >> 32), (uint)_nodeId, (uint)_generation };
        return FuseLibc.OpenByHandleAt(root, handle, FuseLibc.ORdonly | FuseLibc.ONoAtime | FuseLibc.OCloexec);
    }
}
