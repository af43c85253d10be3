using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace ZfsLite.Cli;

/// <summary>Asks a daemon. Sockets that nobody listens on any more are removed as they are met.</summary>
public sealed class ControlClient
{
    private const int HelloTimeoutMs = 2000;

    private readonly string _path;

    private ControlClient(string path, HelloInfo hello)
    {
        _path = path;
        Hello = hello;
    }

    /// <summary>Who the daemon is.</summary>
    public HelloInfo Hello { get; }

    /// <summary>Every daemon that answers.</summary>
    public static IReadOnlyList<ControlClient> All()
    {
        var found = new List<ControlClient>();
        foreach (string path in ControlPaths.Sockets())
        {
            if (TryHello(path) is { } hello)
            {
                found.Add(new ControlClient(path, hello));
            }
        }

        return found;
    }

    /// <summary>
    /// The daemon that a pool name, dataset name, directory or device stands for; null if no daemon has it. Names win over paths
    /// only if the text is not a path ("/…" or "./…").
    /// </summary>
    public static ControlClient? Find(string target)
    {
        IReadOnlyList<ControlClient> all = All();
        bool isPath = target.StartsWith('/') || target.StartsWith('.');
        string full = Path.GetFullPath(target).TrimEnd('/');
        string pool = target.Split('/', '@')[0];
        foreach (ControlClient client in all)
        {
            if (client.Hello.MountPoint.TrimEnd('/') == full || client.Hello.Devices.Contains(full)
                || (!isPath && client.Hello.Pool == pool))
            {
                return client;
            }
        }

        return null;
    }

    /// <summary>Sends a command that returns nothing.</summary>
    public void Send(ControlRequest request, int timeoutMs = 0) => _ = Exchange(_path, request, timeoutMs, Hello.Pool);

    /// <summary>Sends a command and reads its result.</summary>
    public T Ask<T>(ControlRequest request, JsonTypeInfo<T> type, int timeoutMs = 30_000)
    {
        ControlResponse response = Exchange(_path, request, timeoutMs, Hello.Pool);
        return (response.Data is { } data ? data.Deserialize(type) : default)
            ?? throw new CliException($"the daemon of {Hello.Pool} gave an empty answer to {request.Command}");
    }

    private static HelloInfo? TryHello(string path)
    {
        try
        {
            ControlResponse response = Exchange(path, new ControlRequest { Command = "hello" }, HelloTimeoutMs, path);
            return response.Data?.Deserialize(ControlJson.Default.HelloInfo);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            TryDelete(path);
            return null;
        }
        catch (Exception e) when (e is CliException or SocketException or JsonException)
        {
            return null;
        }
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Somebody else's: it stays.
        }
    }

    private static ControlResponse Exchange(string path, ControlRequest request, int timeoutMs, string name)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(path));
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(request, ControlJson.Default.ControlRequest), (byte)'\n'];
        for (int sent = 0; sent < line.Length;)
        {
            sent += socket.Send(line.AsSpan(sent));
        }

        byte[] answer = ControlServer.ReadLine(socket, ControlServer.MaxResponseBytes, timeoutMs)
            ?? throw new CliException($"the daemon of {name} did not answer {request.Command}", $"see 'zfslite status {name}', or its log in {ControlPaths.Directory}");
        ControlResponse response = JsonSerializer.Deserialize(answer, ControlJson.Default.ControlResponse)
            ?? throw new CliException($"the daemon of {name} gave no answer to {request.Command}");
        return response.Ok
            ? response
            : throw new CliException(response.Error ?? "the daemon failed without saying why", null, response.Exit == 0 ? ExitCode.Failed : response.Exit);
    }
}
