using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace ZfsLite.Torture;

/// <summary>A worker process, bound to one processor: the simulator uses no more.</summary>
internal sealed class TortureProcess : IDisposable
{
    /// <summary>A schedule takes milliseconds. One that takes this long never ends.</summary>
    private static readonly TimeSpan s_hung = TimeSpan.FromSeconds(60);

    private readonly Process _process;

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
        _process = Process.Start(info)!;
    }

    /// <summary>Ends it at once.</summary>
    public void Dispose()
    {
        try
        {
            _process.Kill();
            _process.WaitForExit();
        }
        catch (InvalidOperationException)
        {
            // It has ended.
        }

        _process.Dispose();
    }

    /// <summary>Has an order run.</summary>
    /// <param name="order">The order.</param>
    /// <param name="onSeed">Told of each schedule that begins.</param>
    /// <returns>The counts, or the failure. Neither: the process was ended from here.</returns>
    internal (SlabCounts? Counts, TortureFailure? Failure) Run(TortureOrder order, Action onSeed)
    {
        ulong seed = order.First;
        try
        {
            _process.StandardInput.WriteLine(order.ToString());
            _process.StandardInput.Flush();
            while (true)
            {
                Task<string?> read = _process.StandardOutput.ReadLineAsync();
                if (!read.Wait(s_hung))
                {
                    _process.Kill();
                    return (null, new TortureFailure(order.Engine, seed, 1, $"the schedule has not ended in {s_hung.TotalSeconds:0} s"));
                }

                switch (read.Result)
                {
                    case null:
                        return (null, Ended(order, seed));
                    case ['s', ' ', .. var number]:
                        seed = ulong.Parse(number, CultureInfo.InvariantCulture);
                        onSeed();
                        break;
                    case ['c', ' ', .. var counts]:
                        return (SlabCounts.FromNames(JsonSerializer.Deserialize<Dictionary<string, long>>(counts)!), null);
                    case ['f', ' ', .. var failure]:
                        return (null, JsonSerializer.Deserialize<TortureFailure>(failure));
                }
            }
        }
        catch (Exception e) when (e is IOException or AggregateException or ObjectDisposedException or InvalidOperationException)
        {
            return (null, null);
        }
    }

    private TortureFailure? Ended(TortureOrder order, ulong seed)
    {
        _process.WaitForExit();
        const int killed = 128 + 9;
        return _process.ExitCode == killed ? null : new TortureFailure(order.Engine, seed, 1, $"the process died with exit code {_process.ExitCode}");
    }
}
