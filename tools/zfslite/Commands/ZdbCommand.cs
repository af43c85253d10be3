using System.CommandLine;
using System.Diagnostics;
using System.Net.Sockets;
using ZfsLite.Cli.Posix;

namespace ZfsLite.Cli;

/// <summary>
/// zfslite zdb DIR POOL (hidden): the outside judge's verdict on a pool, zdb -bcc. Debian's zdb wants to connect to the socket of
/// the zfs-fuse daemon, though it never says a word there: if nobody listens, this does while zdb runs. A lock file keeps several
/// users of that one socket apart.
/// </summary>
internal static class ZdbCommand
{
    private const string SocketPath = "/var/run/zfs/zfs_socket";
    private const string LockPath = "/tmp/zfslite-zdb.lock";
    private const int LockSecondsMax = 600;

    internal static Command Build(CommandIo io)
    {
        var command = new Command("zdb", "Runs zdb -bcc on a pool.") { Hidden = true };
        Argument<string> directory = new("directory");
        Argument<string> pool = new("pool");
        command.Arguments.Add(directory);
        command.Arguments.Add(pool);
        command.SetAction(parsed => Run(io, Path.GetFullPath(parsed.GetRequiredValue(directory)), parsed.GetRequiredValue(pool)));
        return command;
    }

    private static int Run(CommandIo io, string directory, string pool)
    {
        string zdb = new[] { "/usr/sbin/zdb", "/sbin/zdb", "/usr/local/sbin/zdb" }.FirstOrDefault(File.Exists)
            ?? throw new CliException("zdb is not installed", "type: apt-get install zfs-fuse");
        using FileStream held = TakeLock();
        using Socket? listener = Listen();
        using Process process = Process.Start(new ProcessStartInfo(zdb, ["-U", "/nonexistent", "-bcc", "-e", "-p", directory, pool])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        })!;
        process.StandardInput.Close();
        Task<string> error = process.StandardError.ReadToEndAsync();
        io.Out.Write(process.StandardOutput.ReadToEnd());
        io.Error.Write(error.GetAwaiter().GetResult());
        process.WaitForExit();
        if (listener is not null)
        {
            File.Delete(SocketPath);
        }

        return process.ExitCode;
    }

    private static FileStream TakeLock()
    {
        long deadline = Environment.TickCount64 + (LockSecondsMax * 1000L);
        while (true)
        {
            try
            {
                return new FileStream(LockPath, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (Environment.TickCount64 < deadline)
            {
                Thread.Sleep(50);
            }
        }
    }

    /// <summary>Listens where zdb looks; null if somebody does so already.</summary>
    private static Socket? Listen()
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(SocketPath));
            socket.Dispose();
            return null;
        }
        catch (SocketException)
        {
            // Nobody there: a stale file, or none.
        }

        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(SocketPath)!);
            File.Delete(SocketPath);
            socket.Dispose();
            socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            socket.Bind(new UnixDomainSocketEndPoint(SocketPath));
            socket.Listen(16);
            return socket;
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
        {
            throw new CliException($"cannot listen on {SocketPath}, where zdb looks: {CliException.OneLine(e.Message)}", Native.GetEUid() == 0 ? null : "run it as root");
        }
    }
}
