using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Xunit;
using ZfsLite.Cli;

namespace ZfsLite.Tests.Mount;

/// <summary>Mutated requests on the control socket: each gets one answer that makes sense, or the end of the connection; the next one is served.</summary>
public sealed class ControlFuzzTests : IDisposable
{
    private const int Requests = 1500;
    private const int PatienceMs = 20_000;

    private static readonly string[] s_requests =
    [
        """{"command":"hello"}""",
        """{"command":"status","dataset":"tank/fs"}""",
        """{"command":"get","dataset":"tank","names":["atime","compression"]}""",
        """{"command":"set","dataset":"tank","values":{"atime":"on","copies":"2"}}""",
        """{"command":"kmem_get","cache":"dnode_t","names":["batch"]}""",
        """{"command":"kmem_set","cache":"dnode_t","values":{"batch":"16"}}""",
        """{"command":"kmem_slab"}""",
        """{"command":"kmem_leaks"}""",
        """{"command":"remount","options":"ro,noatime"}""",
        """{"command":"sync"}""",
        """{"command":"list","names":null,"values":null,"dataset":null,"cache":null}""",
        """{"command":"kmem_get","cache":null,"names":[null,"x"]}""",
        """{"command":"set","values":{"":null}}""",
        """{"command":null}""",
    ];

    private static readonly string[] s_pieces = ["null", "{", "}", "[", "]", "\"", "\\ud800", "\\u0000", "1e999", "-", ",", ":", "true", "\ufffd", "\"names\":", "\"values\":{", "\"command\":"];

    private readonly CliRunDirectory _directory = new();
    private readonly ControlServer _server;

    public ControlFuzzTests()
    {
        _server = new ControlServer(Path.Combine(_directory.RunDir, "tank-1.sock"), new ControlFakePool());
        _server.Start();
    }

    public void Dispose()
    {
        _server.Close(1000);
        _directory.Dispose();
    }

    [Fact]
    public void Mutated_requests_get_an_answer_that_makes_sense()
    {
        int done = 0, refused = 0;
        for (int seed = 0; seed < Requests; seed++)
        {
            var random = new Random(seed);
            byte[] request = [.. seed < s_requests.Length ? Encoding.UTF8.GetBytes(s_requests[seed]) : Mutate(random), (byte)'\n'];
            byte[] answer = Exchange(request);
            if (answer.Length == 0)
            {
                continue;
            }

            string what = $"seed {seed}: {Encoding.UTF8.GetString(request)} -> {Encoding.UTF8.GetString(answer)}";
            using JsonDocument parsed = JsonDocument.Parse(answer);
            bool ok = parsed.RootElement.GetProperty("ok").GetBoolean();
            string error = parsed.RootElement.TryGetProperty("error", out JsonElement text) ? text.GetString()! : "";
            Assert.True(ok == (error.Length == 0), what);
            Assert.False(error.Contains("Exception", StringComparison.Ordinal) || error.Contains('\n', StringComparison.Ordinal), what);
            done += ok ? 1 : 0;
            refused += ok ? 0 : 1;
        }

        Assert.True(done > Requests / 20 && refused > Requests / 4, $"{done} done, {refused} refused");
    }

    private static byte[] Mutate(Random random)
    {
        byte[] request = Encoding.UTF8.GetBytes(s_requests[random.Next(s_requests.Length)]);
        for (int left = 1 + random.Next(3); left > 0; left--)
        {
            int at = random.Next(request.Length + 1), end = Math.Min(request.Length, at + random.Next(8));
            byte[] piece = random.Next(5) switch
            {
                0 => [],
                1 => [(byte)random.Next(256)],
                2 => Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(s_pieces[random.Next(s_pieces.Length)], random.Next(1, 40)))),
                3 => request[at..end],
                _ => Encoding.UTF8.GetBytes(s_pieces[random.Next(s_pieces.Length)]),
            };
            request = [.. request[..at], .. piece, .. request[end..]];
        }

        return request;
    }

    /// <summary>The answer's bytes; none if the server hung up.</summary>
    private byte[] Exchange(byte[] request)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(_server.SocketPath));
        socket.ReceiveTimeout = PatienceMs;
        for (int sent = 0; sent < request.Length;)
        {
            sent += socket.Send(request.AsSpan(sent));
        }

        var answer = new MemoryStream();
        byte[] chunk = new byte[4096];
        for (int n; (n = socket.Receive(chunk)) > 0;)
        {
            answer.Write(chunk, 0, n);
        }

        return answer.ToArray();
    }
}
