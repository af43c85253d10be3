using System.Diagnostics;

namespace ZfsLite.Stress;

/// <summary>
/// Rounds of parallel work until the time is up. Each ends, by the seed's choice, with a kill -9 of the daemon in the middle of
/// the work, with a clean unmount and mount, or with a remount under the running work; afterwards every file is judged. A set of
/// files that is made once and never changed is read all the time, so that access times change all the time.
/// </summary>
internal sealed class StressRun
{
    private const int StaticFiles = 400;
    private const int StaticUnits = 20;
    private const int JoinSecondsMax = 60;

    private readonly StressSettings _settings;
    private readonly StressDaemon _daemon;
    private readonly StressCounts _counts = new();
    private readonly Random _random;
    private readonly List<StressWorker> _workers = [];
    private volatile bool _stop;
    private volatile bool _killed;

    internal StressRun(StressSettings settings)
    {
        _settings = settings;
        _daemon = new StressDaemon(settings);
        _random = new Random(settings.Seed);
    }

    /// <summary>Runs; returns the exit code.</summary>
    internal int Run()
    {
        Console.WriteLine($"stress: seed {_settings.Seed}, {_settings.Duration.TotalMinutes:0.#} min, {_settings.Workers} workers, pool in {_settings.Directory}");
        var clock = Stopwatch.StartNew();
        try
        {
            _daemon.Create();
            _daemon.Start("atime");
            MakeStaticFiles();
            for (int i = 0; i < _settings.Workers; i++)
            {
                _workers.Add(new StressWorker(i, _settings.Seed, _settings.Mount, _counts));
            }

            _daemon.Sync();
            for (int round = 1; clock.Elapsed < _settings.Duration || round <= 3; round++)
            {
                Round(round, clock);
            }

            Finish();
        }
        catch (StressFailureException e)
        {
            return Failed(e.Message);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Failed($"{e.GetType().Name}: {e.Message}");
        }

        foreach ((string what, long n) in _counts.All)
        {
            Console.WriteLine($"  {what,-28} {n,14:N0}");
        }

        Console.WriteLine($"stress: passed, seed {_settings.Seed}, {clock.Elapsed.TotalSeconds:0} s");
        Directory.Delete(_settings.Directory, recursive: true);
        return 0;
    }

    private int Failed(string why)
    {
        Console.WriteLine($"stress: FAILED, seed {_settings.Seed}: {why}");
        Console.WriteLine($"stress: the pool is kept in {_settings.Directory}");
        _stop = true;
        try
        {
            _daemon.Stop();
        }
        catch (StressFailureException e)
        {
            Console.WriteLine($"stress: and it could not be unmounted: {e.Message}");
        }

        return 1;
    }

    private void Round(int number, Stopwatch clock)
    {
        // The first three rounds show one of each, whatever the seed, so that a short run proves something too.
        int kind = number <= 3 ? number - 1 : _random.Next(3);
        string name = kind switch { 0 => "unmount and mount", 1 => "kill -9 and mount", _ => "remount under work" };
        double seconds = Math.Min(4 + (_random.NextDouble() * 8), Math.Max(3, _settings.Duration.TotalSeconds / 3));
        Console.WriteLine($"  {clock.Elapsed.TotalSeconds,5:0} s  round {number}: {seconds:0.0} s of work, then {name}");
        _stop = _killed = false;
        List<(Thread Thread, Exception?[] Result)> threads = StartThreads();
        Sleep(seconds);
        switch (kind)
        {
            case 0:
                EndWork(threads);
                _daemon.Stop();
                _daemon.Start("atime");
                _workers.ForEach(w => w.VerifyExactly());
                break;
            case 1:
                _killed = true;
                _daemon.Kill();
                EndWork(threads);
                _daemon.Stop();
                _daemon.Start("atime");
                _workers.ForEach(w => w.VerifyAfterKill());
                _counts.Add("kills");
                break;
            default:
                _daemon.Remount("noatime");
                Sleep(1);
                _daemon.Remount("atime");
                EndWork(threads);
                _counts.Add("remounts");
                break;
        }

        VerifyStaticFiles();
        _counts.Add("rounds");
    }

    private void Finish()
    {
        Console.WriteLine("  unmount, mount, read everything, unmount, zfslite check, zdb -bcc");
        _daemon.Stop();
        _daemon.Start("ro");
        _workers.ForEach(w => w.VerifyExactly());
        VerifyStaticFiles();
        _daemon.Stop();
        _daemon.Check();
        string complaint = _daemon.Zdb();
        if (complaint.Length > 0)
        {
            throw new StressFailureException($"zdb is not content: {complaint}");
        }
    }

    private List<(Thread Thread, Exception?[] Result)> StartThreads()
    {
        var threads = new List<(Thread, Exception?[])>();
        foreach (StressWorker worker in _workers)
        {
            var result = new Exception?[1];
            threads.Add((Start(() => Guard(result, () => worker.Work(() => _stop))), result));
        }

        var readerResult = new Exception?[1];
        var reader = new Random(_random.Next());
        threads.Add((Start(() => Guard(readerResult, () => ReadStaticFiles(reader))), readerResult));
        return threads;
    }

    private static Thread Start(ThreadStart body)
    {
        var thread = new Thread(body) { IsBackground = true };
        thread.Start();
        return thread;
    }

    private static void Guard(Exception?[] result, Func<Exception?> work)
    {
        try
        {
            result[0] = work();
        }
        catch (StressFailureException e)
        {
            result[0] = e;
        }
    }

    private void EndWork(List<(Thread Thread, Exception?[] Result)> threads)
    {
        _stop = true;
        foreach ((Thread thread, Exception?[] result) in threads)
        {
            if (!thread.Join(JoinSecondsMax * 1000))
            {
                throw new StressFailureException($"a thread hangs in the file system: not back after {JoinSecondsMax} s");
            }

            if (result[0] is StressFailureException broken)
            {
                throw broken;
            }

            if (result[0] is { } error and not StressFailureException && !_killed)
            {
                throw new StressFailureException($"an operation failed: {error.GetType().Name}: {error.Message}");
            }
        }
    }

    private void Sleep(double seconds)
    {
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed.TotalSeconds < seconds)
        {
            Thread.Sleep(50);
        }
    }

    private void MakeStaticFiles()
    {
        Directory.CreateDirectory(StaticPath(null));
        byte[] data = new byte[StaticUnits * Unit.Bytes];
        for (int file = 0; file < StaticFiles; file++)
        {
            for (int unit = 0; unit < StaticUnits; unit++)
            {
                Unit.Fill(data.AsSpan(unit * Unit.Bytes, Unit.Bytes), (ulong)file, unit, 1);
            }

            File.WriteAllBytes(StaticPath(file)!, data);
        }
    }

    private Exception? ReadStaticFiles(Random random)
    {
        try
        {
            while (!_stop)
            {
                VerifyStaticFile(random.Next(StaticFiles));
                _counts.Add("reads of unchanged files");
            }

            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return e;
        }
    }

    private void VerifyStaticFiles()
    {
        for (int file = 0; file < StaticFiles; file++)
        {
            VerifyStaticFile(file);
        }
    }

    private void VerifyStaticFile(int file)
    {
        byte[] data = File.ReadAllBytes(StaticPath(file));
        for (int unit = 0; unit < StaticUnits; unit++)
        {
            if (data.Length != StaticUnits * Unit.Bytes || Unit.Identify(data.AsSpan(unit * Unit.Bytes, Unit.Bytes), (ulong)file, unit) != 1)
            {
                throw new StressFailureException($"{StaticPath(file)}, never changed, is wrong in unit {unit} ({data.Length} bytes long)");
            }
        }
    }

    private string StaticPath(int? file) =>
        file is null ? Path.Combine(_settings.Mount, "static") : Path.Combine(_settings.Mount, "static", $"s{file}");
}
