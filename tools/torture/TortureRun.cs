using System.Diagnostics;

namespace ZfsLite.Torture;

/// <summary>
/// A long run: the seeds are cut into orders of some seconds' work, which worker processes take one by one; the state is saved as
/// orders end, in the order of their seeds, at most once a second. What a kill loses is what the workers were at.
/// </summary>
internal sealed class TortureRun : IDisposable
{
    private const long SaveMs = 1000;

    private readonly TortureSettings _settings;
    private readonly object _lock = new();
    private readonly TortureState _state;
    private readonly double _secondsBefore;
    private readonly SortedDictionary<ulong, Block> _blocks = [];
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly List<TortureProcess> _processes = [];
    private ulong _nextBlock;
    private long _begun;
    private long _savedAtMs = -SaveMs;
    private bool _stop;

    internal TortureRun(TortureSettings settings, TortureState? state)
    {
        _settings = settings;
        _state = state ?? new TortureState
        {
            Torture = settings.Torture,
            Build = TortureState.CurrentBuild(settings.Torture),
            Engines = [.. settings.Engines],
            FirstSeed = settings.FirstSeed,
            NextSeed = settings.FirstSeed,
            Schedules = settings.Schedules,
            States = settings.States,
            Counts = new Dictionary<string, Dictionary<string, long>>(StringComparer.Ordinal),
        };
        _state.Failure = null;
        _secondsBefore = _state.Seconds;
        foreach (string engine in _state.Engines)
        {
            _ = _state.Counts.TryAdd(engine, []);
        }

        _nextBlock = _state.NextSeed;
    }

    /// <summary>What it has come to.</summary>
    internal TortureState State => _state;

    /// <summary>Schedules begun in this part of the run, or states, where they are what is counted. A guess.</summary>
    internal long Begun => Interlocked.Read(ref _begun);

    /// <summary>Schedules done, over all parts, or states.</summary>
    internal long Done => _settings.CountsStates ? StatesDone() : (long)(_state.NextSeed - _state.FirstSeed) * _state.Engines.Length;

    /// <summary>Time of this part.</summary>
    internal TimeSpan Elapsed => _clock.Elapsed;

    /// <summary>The sums of an engine.</summary>
    internal IReadOnlyDictionary<string, long> Counts(string engine) => _state.Counts[engine];

    /// <summary>Starts the workers; the task ends with them.</summary>
    internal Task Start()
    {
        var threads = new Task[_settings.Workers];
        for (int i = 0; i < threads.Length; i++)
        {
            var process = new TortureProcess(i);
            _processes.Add(process);
            threads[i] = Task.Factory.StartNew(() => Work(process), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }

        return Task.WhenAll(threads);
    }

    /// <summary>Takes no new orders.</summary>
    internal void Stop()
    {
        lock (_lock)
        {
            _stop = true;
        }
    }

    /// <summary>Ends the workers where they are: what they were at is done again by the run that goes on.</summary>
    internal void Abort()
    {
        Stop();
        _processes.ForEach(static p => p.Abort());
    }

    /// <summary>Ends workers whose schedule never does. To be called now and then.</summary>
    internal void EndHung() => _processes.ForEach(static p => p.EndIfHung());

    /// <summary>Writes the state.</summary>
    internal void Save()
    {
        lock (_lock)
        {
            _state.Seconds = _secondsBefore + _clock.Elapsed.TotalSeconds;
            _state.Write(_settings.StateFile);
            _savedAtMs = _clock.ElapsedMilliseconds;
        }
    }

    /// <summary>Ends the workers.</summary>
    public void Dispose() => _processes.ForEach(static p => p.Dispose());

    private void Work(TortureProcess process)
    {
        while (Take() is { } order)
        {
            (Dictionary<string, long>? counts, TortureFailure? failure) = process.Run(order, n => Interlocked.Add(ref _begun, n));
            if (counts is null)
            {
                lock (_lock)
                {
                    _state.Failure ??= failure;
                    _stop = true;
                }

                return;
            }

            Add(order, counts);
        }
    }

    private TortureOrder? Take()
    {
        lock (_lock)
        {
            if (_stop || (_settings.Time is { } time && _clock.Elapsed >= time) || (_settings.States is { } states && StatesDone() >= states))
            {
                return null;
            }

            Block? block = _blocks.Values.FirstOrDefault(b => b.Ordered < _state.Engines.Length);
            if (block is null)
            {
                if (_nextBlock >= _settings.EndSeed)
                {
                    return null;
                }

                block = new Block(_nextBlock, (int)Math.Min((ulong)_settings.OrderSeeds, _settings.EndSeed - _nextBlock));
                _blocks.Add(_nextBlock, block);
                _nextBlock += (ulong)block.Count;
            }

            return new TortureOrder(_state.Engines[block.Ordered++], block.First, block.Count, _settings.Plant, _settings.PlantSeed, _settings.ZdbOneIn, _settings.Zfslite);
        }
    }

    private void Add(TortureOrder order, Dictionary<string, long> counts)
    {
        lock (_lock)
        {
            _blocks[order.First].Results.Add((order.Engine, counts));
            while (_blocks.TryGetValue(_state.NextSeed, out Block? block) && block.Results.Count == _state.Engines.Length)
            {
                block.Results.ForEach(r => Sum(_state.Counts[r.Engine], r.Counts));
                _blocks.Remove(block.First);
                _state.NextSeed += (ulong)block.Count;
            }

            if (_clock.ElapsedMilliseconds - _savedAtMs >= SaveMs)
            {
                Save();
            }
        }
    }

    // Blocks that are done and wait for an earlier one count too.
    private long StatesDone()
    {
        lock (_lock)
        {
            return _state.Counts.Values.Concat(_blocks.Values.SelectMany(static b => b.Results.Select(static r => r.Counts)))
                .Sum(static c => c.GetValueOrDefault(nameof(CrashCount.States)));
        }
    }

    private static void Sum(Dictionary<string, long> sums, Dictionary<string, long> counts)
    {
        foreach ((string name, long n) in counts)
        {
            sums[name] = sums.GetValueOrDefault(name) + n;
        }
    }

    /// <summary>The same seeds for every engine.</summary>
    private sealed class Block(ulong first, int count)
    {
        internal ulong First => first;

        internal int Count => count;

        internal int Ordered { get; set; }

        internal List<(string Engine, Dictionary<string, long> Counts)> Results { get; } = [];
    }
}
