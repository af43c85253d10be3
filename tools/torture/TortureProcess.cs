using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace ZfsLite.Torture;

/// <summary>A worker process, bound to one processor: the simulator uses no more.</summary>
internal sealed class TortureProcess : IDisposable
{
    /// <summary>A schedule, or a state of one, takes milliseconds. One that takes this long never ends.</summary>
    private const int HungMs = 60_000;

    private readonly Process _process;
    private long _busySinceMs;
    private volatile bool _isHung;

    /// <param name="cpu">Which of the processors that this process may use, counted from 0.</param>
    internal TortureProcess(int cpu)
    {
        string self = Environment.ProcessPath!;
        bool isHost = Path.GetFileNameWithoutExtension(self) == "dotnet";
        var info = new ProcessStartInfo(self)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        if (isHost)
        {
            info.ArgumentList.Add(typeof(TortureProcess).Assembly.Location);
        }

        info.ArgumentList.Add(TortureWorker.Verb);
        info.ArgumentList.Add(cpu.ToString(CultureInfo.InvariantCulture));
        info.Environment["ZFSLITE_SPL"] = "sim";

        // Crash images die young, by the thousand.
        info.Environment["DOTNET_GCgen0size"] = "4000000";
        _process = Process.Start(info)!;
    }

    /// <summary>Ends it at once.</summary>
    public void Dispose()
    {
        Kill();
        _process.WaitForExit();
        _process.Dispose();
    }

    /// <summary>Ends it, and its order has neither counts nor a failure.</summary>
    internal void Abort() => Kill();

    /// <summary>Ends it if its schedule has gone on for too long. To be called now and then, from another thread.</summary>
    internal void EndIfHung()
    {
        long since = Interlocked.Read(ref _busySinceMs);
        if (since != 0 && Environment.TickCount64 - since > HungMs)
        {
            _isHung = true;
            Kill();
        }
    }

    /// <summary>Has an order run.</summary>
    /// <param name="order">The order.</param>
    /// <param name="onBegun">Told how many more schedules, or states, have begun.</param>
    /// <returns>The counts, or the failure. Neither: the process was ended from here.</returns>
    internal (Dictionary<string, long>? Counts, TortureFailure? Failure) Run(TortureOrder order, Action<long> onBegun)
    {
        ulong seed = order.First;
        try
        {
            Interlocked.Exchange(ref _busySinceMs, Environment.TickCount64);
            _process.StandardInput.WriteLine(order.ToString());
            _process.StandardInput.Flush();
            while (true)
            {
                // Not asynchronously: that would need threads of the pool, of which there are as few as processors.
                switch (_process.StandardOutput.ReadLine())
                {
                    case null:
                        return (null, Ended(order, seed));
                    case ['s', ' ', .. var number]:
                        seed = ulong.Parse(number, CultureInfo.InvariantCulture);
                        Interlocked.Exchange(ref _busySinceMs, Environment.TickCount64);
                        onBegun(order.Engine == TortureSettings.Crash ? 0 : 1);
                        break;
                    case ['p', ' ', .. var states]:
                        Interlocked.Exchange(ref _busySinceMs, Environment.TickCount64);
                        onBegun(long.Parse(states, CultureInfo.InvariantCulture));
                        break;
                    case ['c', ' ', .. var counts]:
                        return (JsonSerializer.Deserialize<Dictionary<string, long>>(counts)!, null);
                    case ['f', ' ', .. var failure]:
                        return (null, JsonSerializer.Deserialize<TortureFailure>(failure));
                }
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
        {
            return (null, null);
        }
        finally
        {
            Interlocked.Exchange(ref _busySinceMs, 0);
        }
    }

    private TortureFailure? Ended(TortureOrder order, ulong seed)
    {
        _process.WaitForExit();
        const int killed = 128 + 9;
        return _isHung ? new TortureFailure(order.Engine, seed, 1, $"the schedule has not ended in {HungMs / 1000} s")
            : _process.ExitCode == killed ? null
            : new TortureFailure(order.Engine, seed, 1, $"the process died with exit code {_process.ExitCode}");
    }

    private void Kill()
    {
        try
        {
            _process.Kill();
        }
        catch (InvalidOperationException)
        {
            // It has ended.
        }
    }
}
