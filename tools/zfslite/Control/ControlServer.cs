using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using ZfsLite.Cli.Posix;
using ZfsLite.Fs;

namespace ZfsLite.Cli;

/// <summary>
/// The daemon's side of the control socket. One thread accepts; each connection has a thread of its own, at most
/// <see cref="MaxConnections"/> at once, and carries one request: one line of JSON in, one line of JSON out. A peer that is
/// neither the owner nor root is turned away unread; a request longer than <see cref="MaxRequestBytes"/>, or one that takes
/// longer than <see cref="ReadTimeoutMs"/> to arrive, ends the connection. Nothing here takes a lock of the pool before the
/// request is complete, so a stuck client cannot hold the pool up, and hello and status answer while the pool is stuck.
/// </summary>
public sealed class ControlServer : IDisposable
{
    /// <summary>Longest request, bytes.</summary>
    public const int MaxRequestBytes = 64 << 10;

    /// <summary>Longest answer, bytes.</summary>
    public const int MaxResponseBytes = 16 << 20;

    /// <summary>Connections served at once; more wait in the listen queue.</summary>
    public const int MaxConnections = 8;

    /// <summary>How long a request may take to arrive and an answer to be taken.</summary>
    public const int ReadTimeoutMs = 5000;

    private readonly IPoolCommands _pool;
    private readonly Socket _listener;
    private readonly SemaphoreSlim _slots = new(MaxConnections);
    private readonly CountdownEvent _busy = new(1);
    private volatile bool _closing;

    /// <summary>Listens on a path, which only the owner may open. A stale socket of the same name is replaced.</summary>
    public ControlServer(string path, IPoolCommands pool)
    {
        SocketPath = path;
        _pool = pool;
        File.Delete(path);
        _listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        uint mask = Native.Umask(0x7f);
        try
        {
            _listener.Bind(new UnixDomainSocketEndPoint(path));
            _listener.Listen(16);
        }
        finally
        {
            _ = Native.Umask(mask);
        }

        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    /// <summary>Path of the socket.</summary>
    public string SocketPath { get; }

    /// <summary>Starts to answer.</summary>
    public void Start() => new Thread(AcceptLoop) { IsBackground = true, Name = "control" }.Start();

    /// <summary>Takes no more requests, waits up to <paramref name="millisecondsMax"/> for answers under way, removes the socket.</summary>
    public void Close(int millisecondsMax)
    {
        if (_closing)
        {
            return;
        }

        _closing = true;
        File.Delete(SocketPath);
        _listener.Dispose();
        _busy.Signal();
        _busy.Wait(millisecondsMax);
    }

    /// <inheritdoc/>
    public void Dispose() => Close(0);

    /// <summary>Answers one request. Never throws.</summary>
    public ControlResponse Answer(ControlRequest request)
    {
        try
        {
            return Dispatch(request);
        }
        catch (CliException e)
        {
            return Failure(e.Message, e.ExitCode);
        }
        catch (ZfsException e)
        {
            return Failure(CliException.OneLine(e.Message), ExitCode.Failed);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return Failure($"{e.GetType().Name}: {CliException.OneLine(e.Message)}", ExitCode.Failed);
        }
    }

    private ControlResponse Dispatch(ControlRequest request)
    {
        ControlJson json = ControlJson.Default;
        switch (request.Command)
        {
            case "hello":
                return Success(_pool.Hello(), json.HelloInfo);
            case "status":
                return Success(_pool.Status(), json.StatusInfo);
            case "list":
                return Success(_pool.List(), json.ListDatasetRow);
            case "get":
                return Success(_pool.Get(request.Dataset, request.Names), json.ListPropertyRow);
            case "set":
                _pool.Set(request.Dataset, request.Values);
                return Done();
            case "add_log":
                _pool.AddLog(request.Names);
                return Done();
            case "remove_log":
                _pool.RemoveLog(request.Names.Count == 1 ? request.Names[0] : "");
                return Done();
            case "kmem":
                return Success(_pool.Kmem(), json.KmemInfo);
            case "kmem_leaks":
                return Success(_pool.KmemLeaks(), json.ListKmemLeak);
            case "kmem_slab":
                return Success(_pool.KmemSlab(), json.ListKmemSlabLine);
            case "kmem_get":
                return Success(_pool.KmemGet(request.Cache ?? "", request.Names), json.ListKmemTunableRow);
            case "kmem_set":
                _pool.KmemSet(request.Cache ?? "", request.Values);
                return Done();
            case "txgs":
                return Success(_pool.Txgs(), json.ListTxgRow);
            case "sync":
                _pool.Sync();
                return Done();
            case "clear":
                _pool.Clear();
                return Done();
            case "remount":
                _pool.Remount(MountOptions.Parse([request.Options ?? ""]));
                return Done();
            case "unmount":
                _pool.Unmount();
                return Done();
            default:
                return Failure($"the daemon does not know '{CliException.OneLine(request.Command)}'", ExitCode.Usage);
        }
    }

    private static ControlResponse Done() => new() { Ok = true };

    private static ControlResponse Success<T>(T value, JsonTypeInfo<T> type) =>
        new() { Ok = true, Data = JsonSerializer.SerializeToElement(value, type) };

    private static ControlResponse Failure(string message, int exit) => new() { Error = message, Exit = exit };

    private void AcceptLoop()
    {
        while (!_closing)
        {
            _slots.Wait();
            Socket peer;
            try
            {
                peer = _listener.Accept();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }

            if (!_busy.TryAddCount())
            {
                peer.Dispose();
                return;
            }

            new Thread(() => Serve(peer)) { IsBackground = true, Name = "control peer" }.Start();
        }
    }

    private void Serve(Socket peer)
    {
        try
        {
            using (peer)
            {
                uint? uid = Native.PeerUid(peer.Handle);
                if (uid is null || (uid != 0 && uid != Native.GetEUid()))
                {
                    return;
                }

                peer.SendTimeout = ReadTimeoutMs;
                Send(peer, AnswerLine(ReadLine(peer, MaxRequestBytes, ReadTimeoutMs)));
            }
        }
        catch (Exception e) when (e is SocketException or IOException or ObjectDisposedException)
        {
            // The peer went away: its own affair.
        }
        finally
        {
            _slots.Release();
            _busy.Signal();
        }
    }

    private ControlResponse AnswerLine(byte[]? line)
    {
        if (line is null)
        {
            return Failure($"a request is one line of JSON, at most {MaxRequestBytes} bytes, within {ReadTimeoutMs / 1000} s", ExitCode.Usage);
        }

        ControlRequest? request;
        try
        {
            request = JsonSerializer.Deserialize(line, ControlJson.Default.ControlRequest);
        }
        catch (JsonException)
        {
            return Failure("the request is not JSON", ExitCode.Usage);
        }

        return request is null ? Failure("the request is empty", ExitCode.Usage)
            : request.IsWhole ? Answer(request)
            : Failure("the request has a null where there must be a value", ExitCode.Usage);
    }

    private static void Send(Socket peer, ControlResponse response)
    {
        byte[] bytes = JsonSerializer.SerializeToUtf8Bytes(response, ControlJson.Default.ControlResponse);
        if (bytes.Length > MaxResponseBytes)
        {
            bytes = JsonSerializer.SerializeToUtf8Bytes(
                Failure($"the answer is longer than {MaxResponseBytes} bytes", ExitCode.Failed), ControlJson.Default.ControlResponse);
        }

        SendAll(peer, bytes);
        SendAll(peer, "\n"u8);
    }

    private static void SendAll(Socket peer, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            bytes = bytes[peer.Send(bytes)..];
        }
    }

    /// <summary>
    /// Reads up to a newline. Null if the peer closed before one, sent more than <paramref name="bytesMax"/>, or took longer than
    /// <paramref name="millisecondsMax"/> in all (0: as long as it takes).
    /// </summary>
    internal static byte[]? ReadLine(Socket peer, int bytesMax, int millisecondsMax)
    {
        long deadline = Environment.TickCount64 + millisecondsMax;
        var line = new MemoryStream();
        byte[] chunk = new byte[4096];
        while (true)
        {
            int left = millisecondsMax == 0 ? -1 : (int)Math.Max(0, deadline - Environment.TickCount64);
            if (!peer.Poll(left < 0 ? -1 : left * 1000, SelectMode.SelectRead))
            {
                return null;
            }

            int n = peer.Receive(chunk);
            int end = Array.IndexOf(chunk, (byte)'\n', 0, n);
            line.Write(chunk, 0, end < 0 ? n : end);
            if (end >= 0 && line.Length <= bytesMax)
            {
                return line.ToArray();
            }

            if (n == 0 || line.Length > bytesMax)
            {
                return null;
            }
        }
    }
}
