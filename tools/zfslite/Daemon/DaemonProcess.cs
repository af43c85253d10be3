using System.Collections;
using System.Globalization;
using Mono.Unix;
using ZfsLite.Cli.Posix;
using ZfsLite.Fs;
using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>The process of a daemon: how it comes to be, and what it does with its terminal.</summary>
internal static class DaemonProcess
{
    private const string ExecVariable = "ZFSLITE_EXEC";

    /// <summary>Most that the managed heap may take beside the descriptors of the arena's pages, bytes: data lives in the arena, and
    /// arena plus 150 MiB is the promise. The caches stop at half of it (Arc.ManagedMaxBytes).</summary>
    private const long HeapBytesMax = 96L << 20;

    /// <summary>
    /// Asks for PR_SET_IO_FLUSHER and starts the program again in this process: only so do all its threads have the mark, those
    /// of the runtime included, and only at its start does the runtime read the limits of its heap.
    /// </summary>
    internal static void Prepare(MountSettings settings)
    {
        _ = FuseIoFlusher.TryEnable();
        if (Environment.GetEnvironmentVariable(ExecVariable) == "1")
        {
            Environment.SetEnvironmentVariable(ExecVariable, null);
            if (IsBackground)
            {
                BackgroundLauncher.Detach();
            }

            _ = ControlPaths.Ensure();
            return;
        }

        (string program, List<string> arguments) = BackgroundLauncher.Self();
        var environment = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
        {
            environment[(string)variable.Key] = (string?)variable.Value ?? "";
        }

        environment[ExecVariable] = "1";
        environment["DOTNET_GCHeapHardLimit"] = (HeapBytesMax + KmemSystem.DescriptorBytes(settings.MemoryBytes)).ToString("x", CultureInfo.InvariantCulture);
        environment["DOTNET_GCgen0size"] = (4 << 20).ToString("x", CultureInfo.InvariantCulture);
        environment["DOTNET_GCConserveMemory"] = "5";
        environment["DOTNET_gcConcurrent"] = "0";
        environment["DOTNET_gcServer"] = "0";
        int errno = Native.Exec(program, [program, .. arguments, .. settings.DaemonArguments()], [.. environment.Select(e => $"{e.Key}={e.Value}")]);
        throw new CliException($"{program} cannot be started again: {Native.Error(errno)}");
    }

    /// <summary>Where the daemon reports to. In the background: file descriptor 2 whatever it is, which is the log from
    /// <see cref="Ready"/> on; the console's own writer would keep what it was before.</summary>
    internal static TextWriter Log(CommandIo io) => IsBackground
        ? TextWriter.Synchronized(new StreamWriter(new UnixStream(2, ownsHandle: false)) { AutoFlush = true })
        : TextWriter.Synchronized(io.Error);

    /// <summary>Says that the mount is usable: a line for a person, or the ready line for the process that waits in the foreground.</summary>
    internal static void Ready(CommandIo io, string text, string pool)
    {
        if (!IsBackground)
        {
            io.Out.WriteLine($"zfslite: {text}");
            io.Out.Flush();
            return;
        }

        string log = Path.Combine(ControlPaths.Directory, string.Create(CultureInfo.InvariantCulture, $"{ControlPaths.Safe(pool)}-{Environment.ProcessId}.log"));
        using FileStream file = new(log, FileMode.Create, FileAccess.Write, FileShare.ReadWrite);
        io.Out.WriteLine(BackgroundLauncher.ReadyLine);
        io.Out.Flush();
        int fd = (int)file.SafeFileHandle.DangerousGetHandle();
        _ = Native.Dup2(fd, 1);
        _ = Native.Dup2(fd, 2);
    }

    private static bool IsBackground => Environment.GetEnvironmentVariable(BackgroundLauncher.DaemonVariable) == "1";
}
