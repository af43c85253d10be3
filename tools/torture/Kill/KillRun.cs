using System.Diagnostics;

namespace ZfsLite.Torture;

/// <summary>
/// Kills of the real daemon (kill -9) at random moments: under a mail spool and under fio, each with fsync, or in the middle of the mount that
/// replays what the last kill left. After each the pool is mounted again, and what is there is held against what was acknowledged. Now and then zfslite check and zdb
/// look at what the kill left, and at what the replay made of it. A new pool now and then, every other one with a log device.
/// </summary>
internal sealed class KillRun : IDisposable
{
    internal const string KillsName = "kills";

    private const int Spools = 2;
    private const int JoinSecondsMax = 60;
    private const int MountKillsOneIn = 4;
    private const int SignalMs = 300;

    private readonly KillSettings _settings;
    private readonly KillState _state;
    private readonly KillDaemon _daemon;
    private readonly Random _random;
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly double _secondsBefore;
    private readonly List<SpoolWorker> _spools = [];
    private FioLoad? _fio;
    private volatile bool _stop;

    internal KillRun(KillSettings settings, KillState? state)
    {
        _settings = settings;
        _state = state ?? new KillState { Seed = settings.Seed, Kills = settings.Kills };
        _state.Failure = null;
        _secondsBefore = _state.Seconds;
        _daemon = new KillDaemon(settings);
        _random = new Random((int)(settings.Seed + (ulong)_state.Done));
    }

    internal KillState State => _state;

    private bool IsOver => _stop || _state.Done >= (_settings.Kills ?? long.MaxValue) || _clock.Elapsed >= (_settings.Time ?? TimeSpan.MaxValue);

    /// <summary>Ends after the kill that is under way.</summary>
    internal void Stop() => _stop = true;

    /// <summary>Runs until it is over. False: it failed, and <see cref="KillState.Failure"/> says how.</summary>
    internal bool Run(Action<string> say)
    {
        try
        {
            Directory.CreateDirectory(_settings.Directory);
            if (_settings.RunDirectory is { } sockets)
            {
                Directory.CreateDirectory(sockets);
            }

            while (!IsOver)
            {
                RunPool(say);
            }

            Save();
            Directory.Delete(_settings.Directory, recursive: true);
            return true;
        }
        catch (Exception e) when (e is KillFailureException or IOException or UnauthorizedAccessException)
        {
            // An interrupt from the keyboard reaches the commands that are run too, and perhaps sooner.
            Thread.Sleep(SignalMs);
            if (_stop)
            {
                Save();
                return true;
            }

            _state.Failure = e is KillFailureException ? e.Message : $"{e.GetType().Name}: {e.Message}";
            Save();
            return false;
        }
    }

    public void Dispose()
    {
        _fio?.Dispose();
        _daemon.Dispose();
        if (_stop && Directory.Exists(_settings.Directory))
        {
            Directory.Delete(_settings.Directory, recursive: true);
        }
    }

    private void RunPool(Action<string> say)
    {
        bool withLog = (_state.Counts.GetValueOrDefault("pools") & 1) != 0;
        _daemon.Create(withLog);
        Count("pools");
        _daemon.Start();
        _daemon.AwaitMounted();
        _spools.Clear();
        for (int i = 0; i < Spools; i++)
        {
            _spools.Add(new SpoolWorker(i, _settings.Seed + (ulong)_state.Done, _daemon.Mount, _settings.AckEarly));
            _spools[i].Prepare();
        }

        _fio = FioLoad.IsThere ? new FioLoad(_daemon.Mount, _settings.Directory, _settings.AckEarly) : null;
        _fio?.Prepare();
        for (int i = 0; i < _settings.KillsPerPool && !IsOver; i++)
        {
            KillUnderWork();
            Count(KillsName);
            Count(withLog ? "of them with a log device" : "of them without a log device");
            while (_random.Next(MountKillsOneIn) == 0 && !IsOver)
            {
                KillDuringMount();
            }

            bool judged = _random.Next(_settings.ChecksOneIn) == 0;
            if (judged)
            {
                _daemon.Judge();
                Count("checked before the replay");
            }

            _daemon.Start();
            _daemon.AwaitMounted();
            _spools.ForEach(static s => s.Verify());
            Count("fio blocks acknowledged", _fio?.Verify() ?? 0);
            if (judged)
            {
                _daemon.Unmount();
                _daemon.Judge();
                Count("checked after the replay");
                _daemon.Start();
                _daemon.AwaitMounted();
            }

            Save();
            say($"{_state.Done:N0} kills, {_state.Counts.GetValueOrDefault("mails acknowledged") + _state.Counts.GetValueOrDefault("fio blocks acknowledged"):N0} operations acknowledged before them, all found");
        }

        _daemon.Unmount();
        _daemon.Judge();
        Count("checked at the end of a pool");
    }

    private void KillUnderWork()
    {
        _fio?.Start(_state.Done);
        var ends = new IOException?[Spools];
        var threads = new Thread[Spools];
        for (int i = 0; i < Spools; i++)
        {
            int me = i;
            threads[i] = new Thread(() => ends[me] = _spools[me].Work()) { IsBackground = true };
            threads[i].Start();
        }

        long mails = _spools.Sum(static s => s.Acknowledged);
        Thread.Sleep(_random.Next(20, _settings.WorkMsMax));
        foreach (IOException? early in ends.Where(static e => e is not null))
        {
            throw new KillFailureException($"an operation failed before the kill: {early!.Message}");
        }

        _daemon.Kill();
        foreach (Thread thread in threads)
        {
            if (!thread.Join(JoinSecondsMax * 1000))
            {
                throw new KillFailureException($"a thread hangs in the file system: not back after {JoinSecondsMax} s");
            }
        }

        _fio?.AwaitEnd();
        _daemon.CleanUp();
        Count("mails acknowledged", _spools.Sum(static s => s.Acknowledged) - mails);
    }

    private void KillDuringMount()
    {
        _daemon.Start();
        Thread.Sleep(_random.Next(600));
        _daemon.Kill();
        _daemon.CleanUp();
        Count("kills during a mount");
        Count(KillsName);
    }

    private void Count(string what, long n = 1) => _state.Counts[what] = _state.Counts.GetValueOrDefault(what) + n;

    private void Save()
    {
        _state.Seconds = _secondsBefore + _clock.Elapsed.TotalSeconds;
        if (_settings.StateFile is { } file)
        {
            _state.Write(file);
        }
    }
}
