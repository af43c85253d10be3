using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// A conversation over one <see cref="IFuseTransport"/>: reads requests with a growing set of workers and hands them to an
/// <see cref="IFuseHandler"/>.
/// </summary>
/// <remarks>
/// <para>Cost of a request: one read and one write system call, nothing on the GC heap. Copies of a payload byte at this
/// door: one by the kernel in each direction (between its page cache and the arena); for a WRITE none after that up to the
/// handler, which sees the data in whole record-sized, page-aligned arena buffers; for a READ none before it: the handler
/// fills the buffers that the reply is gathered from.</para>
/// <para>Workers. Each owns a <see cref="FuseRequest"/>. They read in turns (<see cref="FuseTurns"/>): whoever has a turn reads and
/// handles; it gives the turn to a follower before it blocks and before it handles a large payload. When there is no
/// follower left another worker is started, up to MaxWorkers, so that a new request always finds a reader. A request that may wait
/// for a transaction group (a write, a create, an fsync) needs one of MaxWorkers - 2 places; with none free it is parked,
/// with the buffers its message lies in, on a FIFO, the worker goes on reading with another request, and whoever gives its
/// place back runs the parked one. So writers held back by the throttle never keep readers out. An FSYNC that another thread's write
/// of the intent log will serve leaves its worker (<see cref="TryDetach"/>) and is answered by who wrote.</para>
/// <para>Bounds. Workers and parked requests together hold at most BufferBytesMax of the arena (parked ones what all workers
/// leave, but always one); past that a worker waits until a parked request is done, and in the worst case all reading waits
/// for the throttle. A small write is parked in its 8 KiB head alone.</para>
/// <para>A request that needs pages which the kernel holds is answered by a thread of its own, one after the other: it may
/// occupy neither a worker nor a place, for the WRITEs that it waits for need both. Those go the way of all WRITEs, so the wait
/// ends as theirs do.</para>
/// <para>INTERRUPT ends a parked request with EINTR. A request that runs is not cut short: every wait in it is for a
/// transaction group or for memory and ends by itself.</para>
/// <para>Shutdown. A worker ends when the transport says that the file system is gone, or is told to stop.
/// <see cref="Stop"/> wakes sleeping readers and lets running requests finish.</para>
/// <para>Locks: _mutex guards the places, the parked FIFO, the counts of workers and bytes. Nothing is called under it that
/// blocks, and memory is allocated outside it.</para>
/// </remarks>
public sealed unsafe partial class FuseSession
{
    private const int StatSlots = 54;
    private const long TickNs = 1_000_000_000;

    // So many requests in a row that were there already when they were asked for: one reader is not enough.
    private const int Crowded = 8;

    private static readonly IdleWait s_ended = new("end of the FUSE session");

    private readonly IFuseTransport _transport;
    private readonly IFuseHandler _handler;
    private readonly FuseSessionOptions _options;
    private readonly Kmutex _mutex = new("fuse_session");
    private readonly Kcondvar _changed = new("fuse_session");
    private readonly Kcondvar _room = new("fuse_session room");
    private int _waitsForRoom;
    private readonly Kmutex _traceMutex = new("fuse_trace");
    private readonly KmemCache _headCache;
    private readonly KmemCache _recordCache;
    private readonly List<Worker> _workers = [];
    private readonly Stat[] _detachedStats = new Stat[StatSlots];
    private readonly FuseTurns _turns = new(Kthread.CpuCount);
    private readonly int _placesMax;
    private readonly long _parkedBytesMax;
    private FuseRequest? _parkedHead;
    private FuseRequest? _parkedTail;
    private FuseRequest? _free;
    private int _parkedCount;
    private int _detached;
    private int _places;
    private int _live;
    private int _reading;
    private long _handled;
    private long _bytes;
    private long _parkedBytes;
    private bool _started;
    private bool _initialised;
    private uint _minor;
    private bool _cachesGone;

    /// <summary>Makes a session; <see cref="Start"/> begins it.</summary>
    public FuseSession(IFuseTransport transport, IFuseHandler handler, FuseSessionOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.MaxWorkers < 3 || options.MaxWrite < FuseSessionOptions.RecordBytes || options.MaxWrite > 1 << 20
            || options.MaxWrite % FuseSessionOptions.RecordBytes != 0)
        {
            throw new ArgumentException($"{options.MaxWorkers} workers, max_write {options.MaxWrite}", nameof(options));
        }

        _transport = transport;
        _handler = handler;
        _options = options;
        _placesMax = options.MaxWorkers - 2;
        _parkedBytesMax = options.BufferBytesMax - ((long)options.MaxWorkers * (options.MaxWrite + FuseRequest.HeadBytes));
        _headCache = KmemCache.Create("fuse_head", FuseRequest.HeadBytes, 4096);
        _recordCache = KmemCache.Create("fuse_buf_131072", FuseSessionOptions.RecordBytes, 4096);
    }

    /// <summary>Threads that serve requests now.</summary>
    public int WorkerCount => Katomic.Load(ref _live);

    /// <summary>Bytes of the arena held for requests now.</summary>
    public long BufferBytes => Katomic.Load(ref _bytes);

    /// <summary>Requests that wait for a place now.</summary>
    public int ParkedCount => Katomic.Load(ref _parkedCount);

    /// <summary>Requests parked since the start.</summary>
    public long ParkedTotal { get; private set; }

    /// <summary>True once the kernel's INIT was answered.</summary>
    public bool IsInitialised => _initialised;

    /// <summary>True when all workers have ended and every request is answered.</summary>
    public bool HasEnded => _started && Katomic.Load(ref _live) == 0 && Katomic.Load(ref _detached) == 0;

    /// <summary>Starts the first worker.</summary>
    public void Start()
    {
        _mutex.Enter();
        if (_started)
        {
            _mutex.Exit();
            throw new InvalidOperationException("the session was started before");
        }

        _started = true;
        AddWorker();
        _mutex.Exit();
    }

    /// <summary>Waits until INIT was answered or the session ended. False at the deadline (<see cref="Kclock.NowNs"/>).</summary>
    public bool WaitInitialised(long deadlineNs)
    {
        _mutex.Enter();
        bool inTime = true;
        while (inTime && !_initialised && !HasEnded)
        {
            inTime = _changed.WaitUntil(_mutex, deadlineNs);
        }

        _mutex.Exit();
        return _initialised;
    }

    /// <summary>Waits until all workers have ended. False at the deadline (<see cref="Kclock.NowNs"/>).</summary>
    public bool WaitEnded(long deadlineNs)
    {
        _mutex.Enter();
        while (!HasEnded && Kclock.NowNs < deadlineNs)
        {
            long tickNs = Math.Min(deadlineNs, Kclock.NowNs + TickNs);
            if (!_changed.WaitUntil(_mutex, tickNs, s_ended))
            {
                _turns.Tick(Katomic.Load(ref _reading) > 0, Katomic.Load(ref _handled));
            }
        }

        bool ended = HasEnded;
        bool destroy = ended && !_cachesGone;
        _cachesGone |= ended;
        _mutex.Exit();
        if (destroy)
        {
            foreach (Worker worker in _workers)
            {
                worker.Thread!.Join();
            }

            _apartWorker.Thread?.Join();

            _headCache.Destroy();
            _recordCache.Destroy();
        }

        return ended;
    }

    /// <summary>Ends the session: wakes sleeping readers, lets running requests finish. False if some did not by the deadline.</summary>
    public bool Stop(long deadlineNs)
    {
        while (true)
        {
            _transport.Stop();
            long next = Math.Min(deadlineNs, Kclock.NowNs + 20_000_000);
            if (WaitEnded(next))
            {
                return true;
            }

            if (Kclock.NowNs >= deadlineNs)
            {
                return false;
            }
        }
    }

    /// <summary>Statistics per kind of request, for kinds that occurred.</summary>
    public IReadOnlyList<FuseOpStats> Statistics()
    {
        _mutex.Enter();
        Worker[] workers = [.. _workers, _apartWorker];
        _mutex.Exit();
        var list = new List<FuseOpStats>();
        for (int op = 0; op < StatSlots; op++)
        {
            Stat sum = _detachedStats[op];
            foreach (Worker w in workers)
            {
                sum.Add(w.Stats[op]);
            }

            if (sum.Count > 0)
            {
                list.Add(new FuseOpStats((FuseOpcode)op, sum.Count, sum.Errors, sum.TotalNs, sum.MaxNs));
            }
        }

        return list;
    }

    internal void SendReply(FuseRequest request, Iovec* pieces, int count)
    {
        int result = _transport.Write(pieces, count);
        if (result != 0 && result != -Errno.ENOENT && result != -Errno.ENODEV && !_transport.IsStopping)
        {
            Report($"reply to {request.Opcode} {request.Header->Unique} refused: {ErrnoName.Of(-result)}");
        }
    }

    /// <summary>One line to the log.</summary>
    internal void Report(string line)
    {
        if (_options.Log is { } log)
        {
            _traceMutex.Enter();
            log.WriteLine("fuse: " + line);
            log.Flush();
            _traceMutex.Exit();
        }
    }

    /// <summary>Reads and handles one request. False when the session is over.</summary>
    private bool Serve(Worker worker)
    {
        FuseRequest request = worker.Request!;
        if (!worker.HasTurn)
        {
            TakeTurn(worker, expected: false);
        }

        Iovec* pieces = request.ReadPieces(out int count);
        Katomic.Increment(ref _reading);
        bool last = _turns.Active == 1;
        int length = _transport.Read(pieces, count, last, out bool waited);
        Katomic.Decrement(ref _reading);
        if (length < 0)
        {
            if (length == -Errno.EAGAIN && _turns.TryRetire())
            {
                worker.HasTurn = false;
            }

            return length switch
            {
                -Errno.EINTR or -Errno.EAGAIN => !_transport.IsStopping,
                -Errno.ENOENT => true,
                _ => EndOn(-length),
            };
        }

        if (_initialised && _turns.Followers == 0)
        {
            GrowIfNeeded();
        }

        worker.InARow = waited ? 0 : worker.InARow + 1;
        if (worker.InARow == Crowded)
        {
            worker.InARow = 0;
            _turns.Want();
        }

        if (!request.Accept(length))
        {
            Report($"message of {length} bytes has no header");
            return true;
        }

        if (request.IsLarge)
        {
            GiveTurn(worker);
        }

        worker.Handling = true;
        Process(worker, request);
        worker.Handling = false;
        Katomic.Increment(ref _handled);
        return true;
    }

    private bool EndOn(int errno)
    {
        if (errno is not (Errno.ENODEV or Errno.ENOTCONN or Econnaborted))
        {
            Report($"reading requests failed: {ErrnoName.Of(errno)}");
        }

        return false;
    }

    private void Process(Worker worker, FuseRequest request)
    {
        if (request.Header->Length != (uint)request.Length)
        {
            request.ReplyError(Errno.EIO);
        }
        else if (request.Opcode == FuseOpcode.Init)
        {
            Initialise(request);
        }
        else if (!_initialised)
        {
            request.ReplyError(Errno.EIO);
        }
        else if (request.Opcode == FuseOpcode.Interrupt)
        {
            Interrupt(worker, request);
        }
        else if (_handler.NeedsPages(request) && TakeApart(request))
        {
        }
        else if (_handler.MayWaitForTxg(request))
        {
            RunInPlace(worker, request);
        }
        else
        {
            Run(worker, request);
        }
    }

    private void Initialise(FuseRequest request)
    {
        if (request.MessageLength < 56)
        {
            request.ReplyError(Errno.EINVAL);
            return;
        }

        // Kernels before 7.36 send a shorter INIT; what it lacks counts as zero.
        FuseInitIn offer = default;
        Buffer.MemoryCopy(request.Message + 40, &offer, sizeof(FuseInitIn), Math.Min(sizeof(FuseInitIn), request.MessageLength - 40));
        int error = FuseInit.Negotiate(offer, _options, out FuseInitOut reply);
        if (error != 0)
        {
            Report($"the kernel speaks FUSE {offer.Major}.{offer.Minor}, too old: {FuseInit.Major}.{FuseInit.OldestMinor} is needed");
            request.ReplyError(error);
            return;
        }

        *(FuseInitOut*)request.Reply = reply;
        if (offer.Major <= FuseInit.Major)
        {
            _mutex.Enter();
            _initialised = true;
            _minor = reply.Minor;
            _changed.Broadcast();
            _mutex.Exit();
        }

        request.ReplyFixed(sizeof(FuseInitOut));
    }

    /// <summary>False: the request has left.</summary>
    private bool Run(Worker worker, FuseRequest request)
    {
        request.Worker = worker;
        request.StartNs = Kclock.NowNs;
        if (!_handler.Handle(request))
        {
            return false;
        }

        worker.Stats[SlotOf(request)].Add(Measure(request));
        return true;
    }

    private static int SlotOf(FuseRequest request) => (uint)request.Opcode < StatSlots ? (int)request.Opcode : 0;

    private Stat Measure(FuseRequest request)
    {
        long ns = Kclock.NowNs - request.StartNs;
        if (_options.Trace is { } trace)
        {
            _traceMutex.Enter();
            trace.WriteLine($"{request.Header->Unique} {request.Opcode} node {request.Header->NodeId} pid {request.Header->Pid} len {request.Length} -> {(request.ReplyErrno == 0 ? "ok" : "errno " + request.ReplyErrno)} {ns / 1000} us");
            _traceMutex.Exit();
        }

        return new Stat { Count = 1, Errors = request.ReplyErrno != 0 ? 1 : 0, TotalNs = ns, MaxNs = ns };
    }

    /// <summary>Runs a request that may wait, and then parked ones; or parks it.</summary>
    private void RunInPlace(Worker worker, FuseRequest request)
    {
        _mutex.Enter();
        if (_places >= _placesMax)
        {
            Park(worker, request);
            return;
        }

        _places++;
        _mutex.Exit();
        Run(worker, request);
        while (true)
        {
            _mutex.Enter();
            FuseRequest? parked = _parkedHead;
            if (parked is null)
            {
                _places--;
                _mutex.Exit();
                return;
            }

            Unlink(null, parked);
            _mutex.Exit();
            if (Run(worker, parked))
            {
                Release(parked);
            }
        }
    }

    /// <summary>A request with a head and no buffers. Null only with KM_NOSLEEP.</summary>
    private FuseRequest? NewRequest(KmFlags flags)
    {
        byte* head = _headCache.Alloc(flags);
        if (head is null)
        {
            return null;
        }

        _mutex.Enter();
        FuseRequest? request = _free;
        if (request is not null)
        {
            _free = request.Next;
            request.Next = null;
        }

        _mutex.Exit();
        request ??= new FuseRequest(this, _options.MaxWrite / FuseSessionOptions.RecordBytes);
        request.Head = head;
        Katomic.Add(ref _bytes, FuseRequest.HeadBytes);
        return request;
    }

    private void Fill(FuseRequest request)
    {
        int full = _options.MaxWrite / FuseSessionOptions.RecordBytes;
        while (request.BufferCount < full)
        {
            request.AddBuffer(_recordCache.Alloc(KmFlags.Sleep));
            Katomic.Add(ref _bytes, FuseSessionOptions.RecordBytes);
        }
    }

    /// <summary>Gives head and buffers back; the object itself is kept for the next request.</summary>
    private void Release(FuseRequest request)
    {
        while (request.BufferCount > 0)
        {
            _recordCache.Free(request.TakeBuffer());
            Katomic.Add(ref _bytes, -FuseSessionOptions.RecordBytes);
        }

        _headCache.Free(request.Head);
        request.Head = null;
        Katomic.Add(ref _bytes, -FuseRequest.HeadBytes);
        _mutex.Enter();
        DischargeLocked(request);
        if (request.IsDetached)
        {
            request.IsDetached = false;
            _detached--;
            if (HasEnded)
            {
                _changed.Broadcast();
            }
        }

        request.Next = _free;
        _free = request;
        _mutex.Exit();
    }

    private const int Econnaborted = 103;

    internal struct Stat
    {
        internal long Count;
        internal long Errors;
        internal long TotalNs;
        internal long MaxNs;

        internal void Add(in Stat other)
        {
            Count += other.Count;
            Errors += other.Errors;
            TotalNs += other.TotalNs;
            MaxNs = Math.Max(MaxNs, other.MaxNs);
        }
    }

    internal sealed class Worker
    {
        internal readonly Stat[] Stats = new Stat[StatSlots];
        internal FuseRequest? Request;
        internal Kthread? Thread;
        internal bool HasTurn;
        internal bool Handling;
        internal int InARow;
    }
}
