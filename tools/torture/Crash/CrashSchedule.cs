using ZfsLite.Fs;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <summary>
/// One crash schedule. Record runs the whole stack once, on disks that record, with a workload that keeps a journal of what it did and of what
/// was acknowledged. Judge then lets the power fail after every write and every flush and makes disks that the crash may have left. Of each of
/// them the pool must open and mount; the oracle (<see cref="CrashModel"/>) must find a state that the workload went through, not before
/// what was acknowledged; after a clean export the checker must find nothing. Some recoveries are crashed in turn. In some schedules writes and flushes fail under the
/// workload, those of a log device also for good.
/// On the simulator the seed says everything.
/// </summary>
internal sealed unsafe class CrashSchedule
{
    private const long DiskBytes = 64L << 20;
    private const long ArenaBytes = 24L << 20;
    private const int UsedOneIn = 8;
    private static readonly Cred s_root = new(0, 0);

    private readonly ulong _seed;
    private readonly CrashLimits _limits;
    private readonly CrashFault _fault;
    private readonly SeededRandom _random;
    private readonly int _ashift;
    private readonly int _recordSize;
    private readonly int _disks;
    private readonly int _workers;
    private readonly int _logDisks;
    private readonly bool _failing;
    private readonly CrashSampler? _sampler;
    private readonly bool _always;
    private readonly bool _throughput;
    private readonly DiskLog _log = new();
    private readonly byte[] _buffer = new byte[CrashTree.BufferBytes];
    private readonly List<CrashModel> _models = [];
    private string? _workerFailure;

    internal CrashSchedule(ulong seed, CrashLimits limits, CrashFault fault = CrashFault.None, CrashSampler? sampler = null)
    {
        _sampler = sampler;
        _seed = seed;
        _limits = limits;
        _fault = fault;
        _random = new SeededRandom(seed);
        _ashift = _random.Pick(9, 9, 12);
        _recordSize = _random.Pick(4096, 16384);
        _disks = _random.Pick(1, 1, 2);
        _workers = _random.Pick(1, 1, 2);
        _always = _random.OneIn(5);
        _throughput = _random.OneIn(4);
        _logDisks = _random.OneIn(4) ? 1 : 0;
        _failing = _random.OneIn(3);
        _logDisks = _failing && _random.OneIn(2) ? 1 : _logDisks;
    }

    /// <summary>Sums of what was done.</summary>
    internal CrashCounts Counts { get; } = new();

    /// <summary>What went wrong; null: nothing.</summary>
    internal string? Failure { get; private set; }

    /// <summary>The pool's form, for messages.</summary>
    internal string Form => $"ashift {_ashift}, records of {_recordSize}, {_disks} disks and {_logDisks} for the log, {_workers} workers, sync={(_always ? "always" : "standard")}, logbias={(_throughput ? "throughput" : "latency")}{(_failing ? ", failing I/O" : "")}";

    /// <summary>Runs one on the simulator.</summary>
    /// <param name="seed">Says everything.</param>
    /// <param name="limits">How much.</param>
    /// <param name="fault">A fault to plant.</param>
    /// <param name="counts">What was done is added, if all held.</param>
    /// <param name="onState">Called before each state.</param>
    /// <param name="sampler">Has zdb judge a sample; null: no zdb.</param>
    /// <returns>What went wrong; null if nothing did.</returns>
    internal static string? Run(ulong seed, CrashLimits limits, CrashFault fault, CrashCounts counts, Action onState, CrashSampler? sampler = null)
    {
        var schedule = new CrashSchedule(seed, limits, fault, sampler);
        string? failure = schedule.InWorld(schedule.Record) ?? schedule.InWorld(() => schedule.Judge(onState)) ?? sampler?.Judge();
        schedule.Counts[CrashCount.CleanToZdb] = sampler?.Judged ?? 0;
        if (failure is null)
        {
            counts.Add(schedule.Counts);
        }

        return failure;
    }

    /// <summary>How threads are switched under the seed.</summary>
    internal SimOptions Options => new()
    {
        Seed = _seed,
        MaxSteps = long.MaxValue,
        Strategy = _seed % 2 == 0 ? SimStrategy.Random : SimStrategy.Pct,
        SwitchProbability = 0.05,
    };

    /// <summary>Runs the workload. In a thread of the small kernel, with the memory set up.</summary>
    internal void Record()
    {
        MemoryVdevIo[] blank = Prepare();
        IVdevIo[] disks = [.. blank.Select(_log.Record)];
        disks = _failing ? [.. disks.Select((d, i) => new CrashDisk(d, new SeededRandom((_seed * 37) + (ulong)i), isLog: i >= _disks))] : disks;
        Spa spa = Spa.Open(disks, new SpaOpenOptions { Workers = 1 });
        Objset os = spa.OpenObjset("tank");
        Zfsvfs fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
        var threads = new List<Kthread>();
        for (int i = 0; i < _workers; i++)
        {
            _ = Need(fs.Lookup(fs.RootObject, WorkerName(i), out ZnodeAttr dir), "lookup");
            var model = new CrashModel(dir.Object);
            _models.Add(model);
            var work = new CrashWorkload(fs, spa, _log, model, new SeededRandom((_seed * 31) + (ulong)i), _recordSize, _always);
            int steps = _limits.Steps / _workers;
            threads.Add(Kthread.Start($"crash_{i}", () => Work(work, steps)));
        }

        threads.ForEach(static t => t.Join());
        Plant(fs);
        Counts[CrashCount.LogsFailed] = spa.Vdevs.Count(static v => v.Fault is not null);
        Counts[CrashCount.IoErrors] = disks.OfType<CrashDisk>().Sum(static d => d.Failed);
        fs.Unmount();
        spa.CloseObjset(os);
        spa.Close();
        Failure = _workerFailure is null ? null : $"the workload itself failed: {_workerFailure}";
        Counts[CrashCount.Workloads] = 1;
        Counts[CrashCount.Steps] = _models.Sum(static m => m.Step);
        Counts[CrashCount.Acknowledged] = _models.Sum(static m => m.Acks.Count);
    }

    /// <summary>Crashes at every point. In a thread of the small kernel.</summary>
    /// <param name="onState">Called before each state.</param>
    internal void Judge(Action? onState = null)
    {
        var images = new CrashImages(_log) { LiesAboutFlush = _fault == CrashFault.LyingFlush };
        int must = -1;
        while (Failure is null && images.Advance())
        {
            Counts[CrashCount.Points]++;
            int now = _models.Sum(m => m.MustHave(images.Point));
            foreach (int[] choice in CrashChoices.Of(images, _random, now != must, _limits.ExhaustiveMax, _limits.RandomCount))
            {
                onState?.Invoke();
                JudgeState(images.Make(choice), images.Point, KindsOf(images, choice));
                if (Failure is not null)
                {
                    DiskWrite last = _log.Writes[images.Point - 1];
                    string what = last.Data is { } data ? $"write of {data.Length} bytes at {last.Offset:x}" : "flush";
                    Failure = $"crash after {images.Point} of {_log.Writes.Count} writes and flushes ({what} of disk {last.Disk}), "
                        + $"survivors {Text(choice)}, {Form}: {Failure}";
                    return;
                }
            }

            must = now;
        }
    }

    private string? InWorld(Action body)
    {
        string? leaks = null;
        SimResult result = SimWorld.Run(Options, () =>
        {
            KmemSystem memory = KmemSystem.Init(new KmemOptions { ArenaBytes = ArenaBytes, Poison = true, LockArena = false });
            body();
            leaks = Failure is null ? memory.DescribeLeaks() : null;
            KmemSystem.Shutdown();
        });
        return Failure ?? (leaks is not null ? $"leaked: {leaks}" : result.Outcome != SimOutcome.Completed || result.Leftover.Count > 0 ? result.ToString() : null);
    }

    private static byte[] WorkerName(int worker) => [(byte)'w', (byte)('0' + worker)];

    private MemoryVdevIo[] Prepare()
    {
        var disks = new MemoryVdevIo[_disks + _logDisks];
        for (int i = 0; i < disks.Length; i++)
        {
            disks[i] = new MemoryVdevIo(DiskBytes, $"disk{i}");
        }

        _ = PoolFormatter.Format(disks, new PoolCreateOptions
        {
            Name = "tank",
            Ashift = _ashift,
            RecordSize = _recordSize,
            GuidSeed = _seed + 1,
            LogDevices = _logDisks,
            Compression = _random.OneIn(2) ? ZioCompressType.Off : ZioCompressType.Lzjb,
        });
        Spa spa = Spa.Open(disks, new SpaOpenOptions { Workers = 1 });
        Objset os = spa.OpenObjset("tank");
        Zfsvfs fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
        for (int i = 0; i < _workers; i++)
        {
            _ = Need(fs.Create(s_root, fs.RootObject, WorkerName(i), 0x41ED, 0, [], out _), "mkdir");
        }

        spa.SetProperty("tank", "sync", _always ? "always" : "standard");
        spa.SetProperty("tank", "logbias", _throughput ? "throughput" : "latency");
        fs.Unmount();
        spa.CloseObjset(os);
        spa.Close();
        return disks;
    }

    private void Work(CrashWorkload work, int steps)
    {
        try
        {
            work.Run(steps);
        }
        catch (InvalidDataException e)
        {
            _workerFailure ??= e.Message;
        }
    }

    private void Plant(Zfsvfs fs)
    {
        CrashModel model = _models[0];
        if (_fault == CrashFault.FalseAcknowledgement)
        {
            model.Acknowledge(new CrashAck(_log.Count / 2, model.Step, 0));
        }
        else if (_fault == CrashFault.UnknownChange)
        {
            _ = Need(fs.Create(s_root, model.Root.Object, "unknown"u8, 0x81A4, 0, [], out _), "create");
        }
    }

    private CrashKinds KindsOf(CrashImages images, int[] choice) => _sampler is null ? CrashKinds.None
        : CrashKindsOf.Survivors(images.Places, choice) | (_logDisks > 0 ? CrashKinds.LogDevice : 0) | (_failing ? CrashKinds.IoError : 0);

    private void JudgeState(MemoryVdevIo[] disks, int point, CrashKinds kinds, bool recrashed = false)
    {
        Counts[CrashCount.States]++;
        bool sampled = _sampler?.Wants(kinds) == true;
        if (sampled)
        {
            _sampler!.Keep($"seed {_seed}, crash after {point} of {_log.Writes.Count} writes and flushes, {Form}", kinds, disks);
        }

        bool again = !recrashed && _random.OneIn(_limits.RecrashOneIn);
        var log = new DiskLog();
        Failure = Recover(again ? [.. disks.Select(log.Record)] : disks, point);
        if (sampled && !again && Failure is null)
        {
            _sampler!.Keep($"seed {_seed}, recovered from a crash after {point} of {_log.Writes.Count} writes and flushes, {Form}", kinds, disks);
        }

        if (Failure is not null || !again)
        {
            return;
        }

        int target = 1 + _random.Next(log.Count);
        var images = new CrashImages(log);
        while (images.Point < target)
        {
            _ = images.Advance();
        }

        List<int[]> choices = CrashChoices.Of(images, _random, again: true, _limits.ExhaustiveMax, 1);
        int[] choice = choices[_random.Next(choices.Count)];
        Counts[CrashCount.Recrashed]++;
        JudgeState(images.Make(choice), point, KindsOf(images, choice) | CrashKinds.Recrashed, recrashed: true);
        if (Failure is not null)
        {
            Failure = $"and a second crash after {target} of the {log.Count} writes and flushes of the recovery, survivors {Text(choice)}: {Failure}";
        }
    }

    /// <summary>Opens, compares, perhaps goes on working, closes, checks. Null, or what is wrong.</summary>
    private string? Recover(IReadOnlyList<IVdevIo> disks, int point)
    {
        try
        {
            Spa spa = Spa.Open(disks, new SpaOpenOptions { Workers = 1 });
            Objset os = spa.OpenObjset("tank");
            Zfsvfs fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
            string? wrong = null;
            foreach (CrashModel model in _models)
            {
                ulong root = model.Root.Object;
                wrong ??= model.Judge(CrashTree.Read(fs, root, _buffer, keepContents: false), () => CrashTree.Read(fs, root, _buffer, keepContents: true), point);
            }

            if (_random.OneIn(UsedOneIn))
            {
                wrong ??= Use(fs);
            }

            fs.Unmount();
            spa.CloseObjset(os);
            spa.Close();
            return wrong ?? Check(disks);
        }
        catch (Exception e) when (e is ZfsException or InvalidDataException)
        {
            return e.Message;
        }
    }

    private string? Use(Zfsvfs fs)
    {
        Counts[CrashCount.UsedAfterwards]++;
        byte* data = stackalloc byte[600];
        new Span<byte>(data, 600).Fill(7);
        int error = fs.Create(s_root, fs.RootObject, "afterwards"u8, 0x81A4, 0, [], out ZnodeAttr attr);
        if (error == Errno.EEXIST)
        {
            error = fs.Lookup(fs.RootObject, "afterwards"u8, out attr);
        }

        error = error != 0 ? error : fs.Write(attr.Object, 0, 600, data, ZplWriteFlags.None, out _);
        error = error != 0 ? error : fs.Fsync(attr.Object);
        return error == 0 ? null : $"the recovered pool can't be changed: errno {error}";
    }

    private static string? Check(IReadOnlyList<IVdevIo> disks)
    {
        using PoolReader pool = PoolReader.Open(disks);
        List<CheckFinding> errors = [.. PoolChecker.Run(pool).Findings.Where(static f => f.Severity == CheckSeverity.Error)];
        return errors.Count == 0 ? null : $"check: {string.Join("; ", errors.Take(3))}";
    }

    private static string Text(int[] choice) => choice.Length > 200 ? $"{choice.Count(static c => c != 0)} of {choice.Length} sectors" : string.Concat(choice.Select(static c => c > 9 ? "+" : $"{c}"));

    private static int Need(int error, string what) => error == 0 ? 0 : throw new InvalidDataException($"{what}: errno {error}");
}
