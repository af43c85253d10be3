using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Xunit;
using ZfsLite.Cli;
using ZfsLite.Fs;

namespace ZfsLite.Tests.Mount;

/// <summary>The control socket: answers, limits, and what a bad or slow peer can do (nothing).</summary>
public sealed class ControlProtocolTests : IDisposable
{
    private readonly CliRunDirectory _directory = new();
    private readonly ControlFakePool _pool = new();
    private readonly ControlServer _server;

    public ControlProtocolTests()
    {
        _pool.Identity.MountPoint = _directory.File("mnt");
        _pool.Identity.Devices.Add(_directory.File("p.img"));
        _server = new ControlServer(Path.Combine(_directory.RunDir, "tank-1.sock"), _pool);
        _server.Start();
    }

    public void Dispose()
    {
        _server.Close(1000);
        _directory.Dispose();
    }

    [Fact]
    public void The_socket_is_its_owners_alone() =>
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(_server.SocketPath) & ~UnixFileMode.None);

    [Theory]
    [InlineData("tank")]
    [InlineData("tank/fs")]
    [InlineData("MNT")]
    [InlineData("IMG")]
    public void A_pool_is_found_by_name_directory_and_device(string target)
    {
        string word = target switch { "MNT" => _directory.File("mnt"), "IMG" => _directory.File("p.img"), _ => target };
        CliResult result = _directory.Run(["status", word]);
        Assert.Equal("", result.Error);
        Assert.Contains("tank", result.Output, StringComparison.Ordinal);
        Assert.Contains("locked memory refused", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_table_is_printed_as_text_and_as_json()
    {
        foreach (string[] command in new string[][] { ["list", "tank"], ["get", "tank"], ["kmem", "tank"], ["kmem", "slab", "tank"], ["txgs", "tank"], ["status", "tank"] })
        {
            Assert.Equal(0, _directory.Run(command).ExitCode);
            CliResult json = _directory.Run([.. command, "--json"]);
            using JsonDocument parsed = JsonDocument.Parse(json.Output);
            Assert.Equal(command is ["kmem", "tank"] ? JsonValueKind.Object : JsonValueKind.Array, parsed.RootElement.ValueKind);
        }

        string table = _directory.Run(["list", "tank"]).Output;
        Assert.Matches(@"NAME +TYPE +USED +AVAIL +REFER +MOUNTPOINT", table);
        Assert.Matches(@"tank/fs +filesystem +1\.5M +1G +1M +-", table);
    }

    [Fact]
    public void The_slab_table_is_printed_as_spl_prints_it()
    {
        string[] lines = _directory.Run(["kmem", "slab", "tank"]).Output.Split('\n');
        Assert.Equal(5, lines.Length);
        Assert.Equal("dnode_t                               0x00080         -      1536        -      512      -     -     -      -     3     -      -     -     -", lines[2]);
        Assert.Equal("zio_buf_131072                        0x00040   2097152    131072  1048576   131072      2     1     7     14     1    40      5     0     6", lines[3]);
        Assert.Equal("", lines[4]);
        Assert.All(lines[..4], l => Assert.Equal(lines[2].Length, l.Length));
    }

    [Fact]
    public void Set_sync_remount_and_unmount_reach_the_pool()
    {
        Assert.Equal(0, _directory.Run(["set", "tank/fs", "atime=off", "recordsize=16384"]).ExitCode);
        Assert.Equal(0, _directory.Run(["sync"]).ExitCode);
        Assert.Equal(0, _directory.Run(["mount", "x", _directory.File("mnt"), "-o", "remount,ro,noatime"]).ExitCode);
        Assert.Equal(0, _directory.Run(["unmount", _directory.File("mnt")]).ExitCode);
        Assert.Equal(["set tank/fs atime=off recordsize=16K", "sync", "remount ro,noatime,remount", "unmount"], _pool.Calls);
    }

    [Fact]
    public void A_failure_in_the_pool_is_one_line_here()
    {
        _pool.Failure = new ZfsException(5, "the pool is suspended:\n write error");
        CliResult result = _directory.Run(["sync", "tank"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Equal("zfslite: the pool is suspended: write error\n", result.Error);
        _pool.Failure = new InvalidOperationException("a bug");
        Assert.Equal("zfslite: InvalidOperationException: a bug\n", _directory.Run(["sync", "tank"]).Error);
    }

    [Theory]
    [InlineData("not json\n", "the request is not JSON")]
    [InlineData("null\n", "the request is empty")]
    [InlineData("[1,2]\n", "the request is not JSON")]
    [InlineData("{\"command\":\"format\"}\n", "the daemon does not know 'format'")]
    [InlineData("{}\n", "the daemon does not know ''")]
    [InlineData("{\"command\":\"remount\",\"options\":\"frob\"}\n", "unknown mount option 'frob'")]
    public void A_bad_request_gets_an_answer(string request, string expected) => Assert.Contains(expected, Raw(request), StringComparison.Ordinal);

    [Fact]
    public void An_endless_request_is_cut_off()
    {
        using Socket peer = Connect();
        byte[] chunk = Encoding.UTF8.GetBytes(new string('x', 8192));
        long sent = 0;
        Assert.ThrowsAny<SocketException>(() =>
        {
            for (; sent < 64 << 20;)
            {
                sent += peer.Send(chunk);
            }
        });
        Assert.InRange(sent, ControlServer.MaxRequestBytes, 2 << 20);
        Assert.Contains("tank", Raw("{\"command\":\"hello\"}\n"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_deeply_nested_request_is_refused()
    {
        string nested = "{\"command\":" + new string('[', 5000) + "\n";
        Assert.Contains("not JSON", Raw(nested), StringComparison.Ordinal);
    }

    [Fact]
    public void Silent_peers_do_not_keep_others_out()
    {
        List<Socket> silent = [.. Enumerable.Range(0, ControlServer.MaxConnections - 1).Select(_ => Connect())];
        Assert.Contains("tank", Raw("{\"command\":\"hello\"}\n"), StringComparison.Ordinal);
        silent.ForEach(s => s.Dispose());
    }

    [Fact]
    public void A_peer_that_hangs_up_leaves_the_server_well()
    {
        for (int i = 0; i < 3 * ControlServer.MaxConnections; i++)
        {
            using Socket peer = Connect();
            peer.Send("{\"comm"u8);
        }

        Assert.Contains("tank", Raw("{\"command\":\"hello\"}\n"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_stale_socket_is_recognised_and_removed()
    {
        string stale = Path.Combine(_directory.RunDir, "dead-2.sock");
        using (var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            listener.Bind(new UnixDomainSocketEndPoint(Path.Combine(_directory.RunDir, "dead-2.tmp")));
            File.Move(Path.Combine(_directory.RunDir, "dead-2.tmp"), stale);
        }

        Assert.True(File.Exists(stale));
        Assert.Equal(0, _directory.Run(["status"]).ExitCode);
        Assert.False(File.Exists(stale));
        Assert.True(File.Exists(_server.SocketPath));
    }

    [Fact]
    public void Unmount_is_answered_before_the_socket_goes()
    {
        _pool.OnUnmount = () => new Thread(() => _server.Close(5000)).Start();
        Assert.Equal(0, _directory.Run(["unmount", "tank"]).ExitCode);
        Assert.Equal("no pool is mounted", _directory.Run(["status"]).Output.Trim());
    }

    private Socket Connect()
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(_server.SocketPath));
        return socket;
    }

    private string Raw(string request)
    {
        using Socket socket = Connect();
        try
        {
            byte[] bytes = Encoding.UTF8.GetBytes(request);
            for (int sent = 0; sent < bytes.Length;)
            {
                sent += socket.Send(bytes.AsSpan(sent));
            }
        }
        catch (SocketException)
        {
            // The server had read enough.
        }

        socket.ReceiveTimeout = 20_000;
        var answer = new MemoryStream();
        byte[] chunk = new byte[4096];
        for (int n; (n = socket.Receive(chunk)) > 0;)
        {
            answer.Write(chunk, 0, n);
        }

        using JsonDocument parsed = JsonDocument.Parse(answer.ToArray());
        return parsed.RootElement.TryGetProperty("error", out JsonElement error) ? error.GetString()! : parsed.RootElement.ToString();
    }
}
