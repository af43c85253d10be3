using System.Diagnostics;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Tests.Spl;

/// <summary>
/// This test assembly run as a program: what one process can't show (the same schedule in two processes, the end of a process)
/// is shown by children.
/// </summary>
public static class SplChild
{
    /// <summary>Entry point of the assembly.</summary>
    public static int Main(string[] args)
    {
        switch (args)
        {
            case ["replay", string seed]:
                foreach (SimStrategy strategy in Enum.GetValues<SimStrategy>())
                {
                    Console.WriteLine(SimBodies.Busy(ulong.Parse(seed), strategy));
                }

                return 0;
            case ["throw"]:
                Kthread.Start("doomed", () => throw new InvalidOperationException("planted")).Join();
                return 0;
            case ["swallow"]:
                SimWorld.Run(new SimOptions { RecordStacks = false }, SimBodies.Swallow);
                return 0;
            default:
                Console.Error.WriteLine("usage: Kmem.Tests replay SEED | throw | swallow");
                return 2;
        }
    }

    internal static (int Exit, string Output) Run(string args, bool sim)
    {
        var info = new ProcessStartInfo("dotnet", $"exec \"{typeof(SplChild).Assembly.Location}\" {args}")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        info.Environment["ZFSLITE_SPL"] = sim ? "sim" : "os";
        info.Environment["DOTNET_DbgEnableMiniDump"] = "0";
        using Process child = Process.Start(info)!;
        Task<string> errors = child.StandardError.ReadToEndAsync();
        string output = child.StandardOutput.ReadToEnd();
        child.WaitForExit();
        return (child.ExitCode, output + errors.Result);
    }
}
