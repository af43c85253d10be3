using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <summary>
/// The other side of <see cref="TortureProcess"/>: reads orders, one on a line, and runs them. It answers each schedule with
/// "s SEED" when it begins, now and then with "p STATES" (how many more it has come to), and an order with "c COUNTS" or "f FAILURE" when it ends. It ends when there is nobody to read from.
/// </summary>
internal static class TortureWorker
{
    internal const string Verb = "torture-worker";

    /// <summary>Serves; returns the exit code.</summary>
    internal static int Run(int cpu)
    {
        // Before the simulator, which keeps all its threads on the processor that it finds itself on.
        Pin(cpu);

        // A Ctrl-C is for whoever gives the orders, and so is the end of a whole group of processes.
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, static c => c.Cancel = true);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, static c => c.Cancel = true);
        using var output = new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true };
        try
        {
            while (Console.In.ReadLine() is { } line)
            {
                output.WriteLine(Serve(TortureOrder.Parse(line), output));
            }
        }
        catch (IOException)
        {
            // Nobody listens any more.
        }

        return 0;
    }

    private static void Pin(int cpu)
    {
        using var self = Process.GetCurrentProcess();
        long mask = self.ProcessorAffinity;
        int[] allowed = [.. Enumerable.Range(0, 64).Where(i => (mask >> i & 1) != 0)];
        self.ProcessorAffinity = (nint)(1L << allowed[cpu % allowed.Length]);
    }

    private static string Serve(TortureOrder order, TextWriter output) =>
        order.Engine == TortureSettings.Crash ? ServeCrash(order, output)
        : ImagePools.Names.Contains(order.Engine) ? ImageWorker.Serve(order, output)
        : ServeKmem(order, output);

    private static string ServeCrash(TortureOrder order, TextWriter output)
    {
        const int StatesATime = 100;
        var counts = new CrashCounts();
        for (ulong seed = order.First; seed < order.First + (ulong)order.Count; seed++)
        {
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"s {seed}"));
            int states = 0;
            void OnState()
            {
                if (++states % StatesATime == 0)
                {
                    output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"p {StatesATime}"));
                }
            }

            CrashFault fault = seed == order.PlantSeed ? Enum.Parse<CrashFault>(order.Plant) : CrashFault.None;
            if (CrashSchedule.Run(seed, CrashLimits.Long, fault, counts, OnState, SamplerOf(order, output)) is { } text)
            {
                return Fail(new TortureFailure(order.Engine, seed, 1, text));
            }
        }

        return "c " + JsonSerializer.Serialize(counts.ToNames());
    }

    private static CrashSampler? SamplerOf(TortureOrder order, TextWriter output) => order.ZdbOneIn == 0 ? null : new CrashSampler(order.ZdbOneIn, directory =>
    {
        // It goes on: zdb takes its time, and waits for its turn.
        output.WriteLine("p 0");
        var info = new ProcessStartInfo(order.Zfslite, ["zdb", directory, "tank"]) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        using Process process = Process.Start(info)!;
        process.StandardInput.Close();
        Task<string> error = process.StandardError.ReadToEndAsync();
        string said = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, said + error.GetAwaiter().GetResult());
    });

    private static string ServeKmem(TortureOrder order, TextWriter output)
    {
        var counts = new SlabCounts();
        LockOrder.Reset();
        SlabEngineKind engine = Enum.Parse<SlabEngineKind>(order.Engine, ignoreCase: true);
        for (ulong seed = order.First; seed < order.First + (ulong)order.Count; seed++)
        {
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"s {seed}"));
            string? text = SlabSchedule.Run(engine, seed, counts, seed == order.PlantSeed ? Enum.Parse<SlabFault>(order.Plant) : SlabFault.None);
            if (text is not null)
            {
                return Fail(new TortureFailure(order.Engine, seed, 1, text));
            }

            if (LockOrder.Violations is [{ } violation, ..])
            {
                return Fail(new TortureFailure(order.Engine, order.First, (long)(seed - order.First) + 1, violation.Text));
            }
        }

        return "c " + JsonSerializer.Serialize(counts.ToNames());
    }

    internal static string Fail(TortureFailure failure) => "f " + JsonSerializer.Serialize(failure);
}
