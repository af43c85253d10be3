using Xunit;
using ZfsLite.Fs;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;
using static Fs.Tests.FuseClient;

namespace Fs.Tests;

/// <summary>The session and the dispatcher, driven message by message without a kernel.</summary>
[Collection("Fuse")]
public class FuseWireTests
{
    private const int Seeds = 20;

    private static void EndsTheDaemon(bool leaves) => Backends.Run(() =>
    {
        Action<Kthread, Exception>? before = Kthread.UnhandledException;
        Exception? ended = null;
        Kthread.UnhandledException = (_, e) => Katomic.Store(ref ended, e);
        try
        {
            var fs = new MemFs();
            using var client = new FuseClient(fs);
            ulong file = client.CreateFile("f");
            var left = new Kmutex("test_left");
            fs.OnRead = () =>
            {
                if (!leaves)
                {
                    throw new InsufficientMemoryException("by order of the test");
                }

                left.Enter();
                throw new InvalidOperationException("by order of the test");
            };
            ulong read = client.Send(FuseOpcode.Read, file, ReadBody(0, 10));
            for (int i = 0; i < 2000 && Katomic.Load(ref ended) is null; i++)
            {
                Kthread.Sleep(5_000_000);
            }

            Assert.Equal("by order of the test", ended?.Message);
            Assert.False(client.HasReply(read));
            fs.OnRead = null;
        }
        finally
        {
            Kthread.UnhandledException = before;
        }
    });

    private static uint Word(byte[] body, int at) => BitConverter.ToUInt32(body, at);

    private static byte[] Pattern(int length)
    {
        byte[] data = new byte[length];
        for (int i = 0; i < length; i++)
        {
            data[i] = (byte)((i * 7) + (i >> 9));
        }

        return data;
    }

    private static void WaitForParked(FuseClient client, int count)
    {
        long deadline = Kclock.NowNs + 10_000_000_000;
        while (client.Session.ParkedCount != count)
        {
            Assert.True(Kclock.NowNs < deadline, $"{client.Session.ParkedCount} requests are parked, not {count}");
            Kthread.Sleep(1_000_000);
        }
    }

    [Fact]
    public void Init_accepts_only_what_is_offered_and_wanted() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        (int error, byte[] body) = client.InitReply;
        Assert.Equal(0, error);
        Assert.Equal(64, body.Length);
        Assert.Equal((7u, 45u), (Word(body, 0), Word(body, 4)));
        var flags = (FuseInitFlags)Word(body, 12);
        Assert.True(flags.HasFlag(FuseInitFlags.WritebackCache | FuseInitFlags.ExportSupport | FuseInitFlags.HandleKillprivV2
            | FuseInitFlags.ParallelDirops | FuseInitFlags.AtomicOTrunc | FuseInitFlags.MaxPages | FuseInitFlags.DoReadDirPlus));
        Assert.Equal(FuseInitFlags.None, flags & (FuseInitFlags.PosixAcl | FuseInitFlags.PosixLocks | FuseInitFlags.SetXattrExt
            | FuseInitFlags.HandleKillpriv | FuseInitFlags.NoOpenSupport | FuseInitFlags.DontMask));
        Assert.Equal(256u << 10, Word(body, 20));
        Assert.Equal(64u, Word(body, 28) & 0xFFFF);
    }, Seeds);

    [Fact]
    public void Init_with_an_older_kernel_takes_its_minor_and_its_flags() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs(), initialise: false);
        (int error, byte[] body) = client.Call(FuseOpcode.Init, 0, InitBody(7, 31, 0x21, 0)[..16]);
        Assert.Equal(0, error);
        Assert.Equal((7u, 31u, 0x21u), (Word(body, 0), Word(body, 4), Word(body, 12)));
    }, Seeds);

    [Fact]
    public void Init_from_a_newer_major_gets_ours_and_is_asked_again() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs(), initialise: false);
        (int error, byte[] body) = client.Call(FuseOpcode.Init, 0, InitBody(8, 0, 0, 0));
        Assert.Equal((0, 7u), (error, Word(body, 0)));
        Assert.False(client.Session.IsInitialised);
        Assert.Equal(0, client.Call(FuseOpcode.Init, 0, InitBody(7, 45, 0, 0)).Error);
        Assert.True(client.Session.IsInitialised);
    }, Seeds);

    [Fact]
    public void Init_from_a_kernel_too_old_is_refused_with_the_reason() => Backends.Run(() =>
    {
        var log = new StringWriter();
        var options = new FuseSessionOptions { MaxWorkers = 3, Log = log };
        using var client = new FuseClient(new MemFs(), options, initialise: false);
        Assert.Equal(71, client.Call(FuseOpcode.Init, 0, InitBody(7, 12, 0, 0)).Error);
        Assert.Contains("7.12", log.ToString(), StringComparison.Ordinal);
    }, Seeds);

    [Fact]
    public void Requests_before_init_fail() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs(), initialise: false);
        Assert.Equal(Errno.EIO, client.Call(FuseOpcode.GetAttr, 1, new byte[16]).Error);
    }, Seeds);

    [Theory]
    [InlineData(FuseOpcode.Access)]
    [InlineData(FuseOpcode.Poll)]
    [InlineData(FuseOpcode.SetupMapping)]
    [InlineData(FuseOpcode.Bmap)]
    [InlineData(FuseOpcode.GetLk)]
    [InlineData((FuseOpcode)9999)]
    public void Unknown_and_unwanted_requests_give_ENOSYS(FuseOpcode opcode) => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        Assert.Equal(Errno.ENOSYS, client.Call(opcode, 1, new byte[64]).Error);
    }, Seeds);

    [Theory]
    [InlineData(FuseOpcode.Lookup, "61626364")]
    [InlineData(FuseOpcode.Lookup, "00")]
    [InlineData(FuseOpcode.Lookup, "612f6200")]
    [InlineData(FuseOpcode.Mkdir, "ff01000000000000")]
    [InlineData(FuseOpcode.Mkdir, "ff010000000000002e2e00")]
    [InlineData(FuseOpcode.Rename2, "010000000000000000000000000000006100")]
    [InlineData(FuseOpcode.SetAttr, "0800000000000000")]
    [InlineData(FuseOpcode.Read, "00")]
    [InlineData(FuseOpcode.Write, "00")]
    [InlineData(FuseOpcode.SetXattr, "ffffffff000000006100")]
    [InlineData(FuseOpcode.Symlink, "6100")]
    [InlineData(FuseOpcode.Open, "")]
    [InlineData(FuseOpcode.Fallocate, "00")]
    public void Malformed_messages_give_EINVAL(FuseOpcode opcode, string hex) => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        Assert.Equal(Errno.EINVAL, client.Call(opcode, 1, Convert.FromHexString(hex)).Error);
    }, Seeds);

    [Fact]
    public void A_message_whose_length_lies_gives_EIO() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        byte[] message = Message(FuseOpcode.GetAttr, 77, 1, new byte[16]);
        message[0] = 99;
        client.Transport.Submit(message);
        Assert.Equal(Errno.EIO, client.Receive(77).Error);
    }, Seeds);

    [Fact]
    public void Names_too_long_give_ENAMETOOLONG() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        Assert.Equal(Errno.ENAMETOOLONG, client.Call(FuseOpcode.Lookup, 1, Z(new string('x', 256))).Error);
        Assert.Equal(0, client.Call(FuseOpcode.Mkdir, 1, U32(0x1FF, 0), Z(new string('x', 255))).Error);
    }, Seeds);

    [Fact]
    public void A_missing_name_is_a_negative_entry_that_the_kernel_may_keep() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        (int error, byte[] body) = client.Call(FuseOpcode.Lookup, 1, Z("nothing"));
        Assert.Equal(0, error);
        Assert.Equal(0ul, BitConverter.ToUInt64(body));
        Assert.Equal(3600ul, BitConverter.ToUInt64(body, 16));
    }, Seeds);

    [Fact]
    public void The_root_is_node_1_with_its_own_inode_number() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        ulong dir = BitConverter.ToUInt64(client.Call(FuseOpcode.Mkdir, 1, U32(0x1ED, 0), Z("d")).Body);
        byte[] parent = client.Call(FuseOpcode.Lookup, dir, Z("..")).Body;
        Assert.Equal(1ul, BitConverter.ToUInt64(parent));
        Assert.Equal(34ul, BitConverter.ToUInt64(parent, 40));
        Assert.Equal(34ul, BitConverter.ToUInt64(client.Call(FuseOpcode.GetAttr, 1, new byte[16]).Body, 16));
    }, Seeds);

    [Fact]
    public void A_node_resolves_after_forget_and_gives_ENOENT_after_removal() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        ulong dir = BitConverter.ToUInt64(client.Call(FuseOpcode.Mkdir, 1, U32(0x1ED, 0), Z("d")).Body);
        client.Send(FuseOpcode.Forget, dir, U64(1));
        byte[] self = client.Call(FuseOpcode.Lookup, dir, Z(".")).Body;
        Assert.Equal(dir, BitConverter.ToUInt64(self));
        Assert.Equal(0, client.Call(FuseOpcode.Rmdir, 1, Z("d")).Error);
        Assert.Equal(Errno.ENOENT, client.Call(FuseOpcode.Lookup, dir, Z(".")).Error);
    }, Seeds);

    [Theory]
    [InlineData(1)]
    [InlineData(4096)]
    [InlineData(7600)]
    [InlineData(131072)]
    [InlineData(131073)]
    [InlineData(262144)]
    public void Writes_and_reads_of_any_size_keep_their_bytes(int length) => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        ulong file = client.CreateFile("f");
        byte[] data = Pattern(length);
        (int error, byte[] body) = client.Call(FuseOpcode.Write, file, WriteBody(5, data));
        Assert.Equal((0, (uint)length), (error, Word(body, 0)));
        Assert.Equal(data, client.Call(FuseOpcode.Read, file, ReadBody(5, 256 << 10)).Body);
        Assert.Equal(data[^1..], client.Call(FuseOpcode.Read, file, ReadBody(4 + (ulong)length, 10)).Body);
        Assert.Empty(client.Call(FuseOpcode.Read, file, ReadBody(5 + (ulong)length, 10)).Body);
    }, Seeds);

    [Fact]
    public void A_write_whose_size_is_not_its_payload_gives_EINVAL() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        ulong file = client.CreateFile("f");
        byte[] body = WriteBody(0, new byte[100]);
        body[16] = 101;
        Assert.Equal(Errno.EINVAL, client.Call(FuseOpcode.Write, file, body).Error);
        Assert.Equal(Errno.EFBIG, client.Call(FuseOpcode.Write, file, WriteBody(long.MaxValue, new byte[100])).Error);
        Assert.Equal(Errno.EINVAL, client.Call(FuseOpcode.Read, file, ReadBody(0, 1 << 20)).Error);
    }, Seeds);

    [Theory]
    [InlineData(100)]
    [InlineData(7000)]
    [InlineData(65536)]
    public void Attributes_of_any_size_keep_their_bytes(int length) => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        ulong file = client.CreateFile("f");
        byte[] value = Pattern(length);
        Assert.Equal(0, client.Call(FuseOpcode.SetXattr, file, U32((uint)length, 0), Z("user.x"), value).Error);
        Assert.Equal((uint)length, Word(client.Call(FuseOpcode.GetXattr, file, U32(0, 0), Z("user.x")).Body, 0));
        Assert.Equal(value, client.Call(FuseOpcode.GetXattr, file, U32(65536, 0), Z("user.x")).Body);
        Assert.Equal(Errno.ERANGE, client.Call(FuseOpcode.GetXattr, file, U32(10, 0), Z("user.x")).Error);
        Assert.Equal(Z("user.x"), client.Call(FuseOpcode.ListXattr, file, U32(100, 0)).Body);
    }, Seeds);

    [Fact]
    public void A_large_batch_forget_has_no_reply_and_does_no_harm() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        ulong unique = client.Send(FuseOpcode.BatchForget, 0, U32(12000, 0), new byte[12000 * 16]);
        Assert.Equal(0, client.Call(FuseOpcode.GetAttr, 1, new byte[16]).Error);
        Assert.False(client.HasReply(unique));
    }, Seeds);

    [Fact]
    public void Readdirplus_gives_attributes_and_no_node_for_dot_and_dotdot() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        ulong file = client.CreateFile("name");
        byte[] body = client.Call(FuseOpcode.ReadDirPlus, 1, ReadBody(0, 4096)).Body;
        Assert.Equal(3 * 160, body.Length);
        Assert.Equal((0ul, 34ul), (BitConverter.ToUInt64(body), BitConverter.ToUInt64(body, 128)));
        Assert.Equal(0ul, BitConverter.ToUInt64(body, 160));
        Assert.Equal((file, file), (BitConverter.ToUInt64(body, 320), BitConverter.ToUInt64(body, 320 + 128)));
        Assert.Equal(file, BitConverter.ToUInt64(body, 320 + 40));
        Assert.Equal((4u, 8u), (Word(body, 320 + 144), Word(body, 320 + 148)));
        Assert.Equal("name"u8.ToArray(), body[(320 + 152)..(320 + 156)]);
        Assert.Equal(Errno.EINVAL, client.Call(FuseOpcode.ReadDirPlus, 1, ReadBody(0, 40)).Error);
    }, Seeds);

    [Fact]
    public void Set_id_bits_go_on_a_change_of_owner_and_where_the_kernel_says_so() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        ulong file = client.CreateFile("f");
        byte[] SetAttr(uint valid, uint mode, uint uid) =>
            [.. U32(valid, 0), .. new byte[60], .. U32(mode, 0, uid, 0, 0)];
        uint Mode((int Error, byte[] Body) reply) => reply.Error == 0 ? Word(reply.Body, 16 + 60) & 0xFFF : 0xFFFF;

        Assert.Equal(0xDEDu, Mode(client.Call(FuseOpcode.SetAttr, file, SetAttr(1, 0xDED, 0))));
        Assert.Equal(0x1EDu, Mode(client.Call(FuseOpcode.SetAttr, file, SetAttr(2, 0, 1000))));
        client.Call(FuseOpcode.SetAttr, file, SetAttr(1, 0xDED, 0));
        client.Call(FuseOpcode.Write, file, WriteBody(0, new byte[10]));
        Assert.Equal(0xDEDu, Mode(client.Call(FuseOpcode.GetAttr, file, new byte[16])));
        client.Call(FuseOpcode.Write, file, WriteBody(0, new byte[10], 4));
        Assert.Equal(0x1EDu, Mode(client.Call(FuseOpcode.GetAttr, file, new byte[16])));
        client.Call(FuseOpcode.SetAttr, file, SetAttr(1, 0xDED, 0));
        Assert.Equal(0, client.Call(FuseOpcode.Open, file, U32(0x201, 1)).Error);
        Assert.Equal(0x1EDu, Mode(client.Call(FuseOpcode.GetAttr, file, new byte[16])));
    }, Seeds);

    [Fact]
    public void A_file_capability_goes_when_the_program_is_opened_for_writing() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        ulong file = BitConverter.ToUInt64(client.Call(FuseOpcode.Create, 1, U32(2, 0x1ED, 0, 0), Z("prog")).Body);
        client.Call(FuseOpcode.SetXattr, file, U32(4, 0), Z("security.capability"), new byte[4]);
        client.Call(FuseOpcode.Open, file, U32(0, 0));
        Assert.Equal(0, client.Call(FuseOpcode.GetXattr, file, U32(64, 0), Z("security.capability")).Error);
        client.Call(FuseOpcode.Open, file, U32(1, 0));
        Assert.Equal(Errno.ENODATA, client.Call(FuseOpcode.GetXattr, file, U32(64, 0), Z("security.capability")).Error);
    }, Seeds);

    [Fact]
    public void Holes_are_told_only_while_nobody_may_have_unseen_pages() => Backends.Run(() =>
    {
        using var client = new FuseClient(new MemFs());
        ulong file = client.CreateFile("f");
        client.Call(FuseOpcode.Write, file, WriteBody(1 << 20, new byte[100]));
        byte[] seekData = [.. U64(0, 0), .. U32(3, 0)];
        Assert.Equal(Errno.EINVAL, client.Call(FuseOpcode.Lseek, file, seekData).Error);
        client.Call(FuseOpcode.Release, file, U64(0), U32(2, 0), U64(0));
        client.Call(FuseOpcode.Open, file, U32(0, 0));
        (int error, byte[] body) = client.Call(FuseOpcode.Lseek, file, seekData);
        Assert.Equal((0, 1ul << 20), (error, BitConverter.ToUInt64(body)));
    }, Seeds);

    [Fact]
    public void Holes_are_told_beside_writers_when_the_kernel_can_be_made_to_send_its_pages() => Backends.Run(() =>
    {
        const int files = 5;
        var options = new FuseSessionOptions { MaxWrite = 256 << 10, MaxWorkers = 3, BufferBytesMax = 4 << 20 };
        var fs = new MemFs();
        using var client = new FuseClient(fs, options);
        ulong[] nodes = [.. Enumerable.Range(0, files).Select(i => client.CreateFile($"f{i}"))];
        var flusher = new Flusher();
        client.Session.PageFlusher = flusher;
        flusher.OnFlush = (node, generation) =>
        {
            // As the kernel does: one page at the end of the file, and not before it is answered is the flush done.
            Assert.Equal(0, fs.GetAttr(node, out ZnodeAttr before));
            Assert.Equal(before.Generation, generation);
            client.Send(FuseOpcode.Write, node, WriteBody(before.Size + (1 << 20), new byte[100]));
            ZnodeAttr attr = before;
            for (int i = 0; i < 10_000 && attr.Size == before.Size; i++)
            {
                Kthread.Sleep(1_000_000);
                fs.GetAttr(node, out attr);
            }

            return attr.Size > before.Size;
        };
        byte[] seekData = [.. U64(0, 0), .. U32(3, 0)];
        ulong[] asked = [.. nodes.Select(n => client.Send(FuseOpcode.Lseek, n, seekData))];
        Assert.All(asked, u =>
        {
            (int error, byte[] body) = client.Receive(u);
            Assert.Equal((0, 1ul << 20), (error, BitConverter.ToUInt64(body)));
        });
        Assert.Equal(files, flusher.Count);

        // Refused pages: what is known may be wrong.
        flusher.OnFlush = (_, _) => false;
        Assert.Equal(Errno.EINVAL, client.Call(FuseOpcode.Lseek, nodes[0], seekData).Error);

        // Too many at a time: the rest is told so at once, and none is forgotten.
        bool hold = true;
        flusher.OnFlush = (_, _) =>
        {
            while (Volatile.Read(ref hold))
            {
                Kthread.Sleep(1_000_000);
            }

            return true;
        };
        asked = [.. Enumerable.Range(0, 100).Select(_ => client.Send(FuseOpcode.Lseek, nodes[1], seekData))];
        Assert.Equal(Errno.EINVAL, client.Receive(asked[^1]).Error);
        Assert.Equal(0, client.Call(FuseOpcode.GetAttr, nodes[2], new byte[16]).Error);
        Volatile.Write(ref hold, false);
        int[] errors = [.. asked[..^1].Select(u => client.Receive(u).Error)];
        Assert.All(errors, static e => Assert.True(e is 0 or Errno.EINVAL));
        Assert.InRange(errors.Count(static e => e == 0), 64, 66);

        // Nobody writes: nobody is asked.
        int count = flusher.Count;
        client.Call(FuseOpcode.Release, nodes[3], U64(0), U32(2, 0), U64(0));
        Assert.Equal(0, client.Call(FuseOpcode.Lseek, nodes[3], seekData).Error);
        Assert.Equal(count, flusher.Count);
    }, Seeds);

    private sealed class Flusher : IFusePageFlusher
    {
        internal int Count { get; private set; }

        internal Func<ulong, ulong, bool> OnFlush { get; set; } = static (_, _) => true;

        public bool Flush(ulong nodeId, ulong generation)
        {
            Count++;
            return OnFlush(nodeId, generation);
        }
    }

    [Fact]
    public void Exceptions_become_errnos_and_the_session_lives() => Backends.Run(() =>
    {
        var fs = new MemFs();
        using var client = new FuseClient(fs);
        ulong file = client.CreateFile("f");
        fs.OnRead = () => throw new ZfsException(Errno.ECKSUM, "bad block");
        Assert.Equal(Errno.EIO, client.Call(FuseOpcode.Read, file, ReadBody(0, 10)).Error);
        fs.OnRead = () => throw new ZfsException(Errno.ENXIO, "no device");
        Assert.Equal(Errno.ENXIO, client.Call(FuseOpcode.Read, file, ReadBody(0, 10)).Error);
        fs.OnRead = () => throw new InvalidOperationException("an assertion");
        Assert.Equal(Errno.EIO, client.Call(FuseOpcode.Read, file, ReadBody(0, 10)).Error);
        Assert.Contains("an assertion", client.Log, StringComparison.Ordinal);
        fs.OnRead = null;
        Assert.Equal(0, client.Call(FuseOpcode.Read, file, ReadBody(0, 10)).Error);
    }, Seeds);

    [OsFact]
    public void An_exception_that_leaves_a_lock_taken_ends_the_daemon() => EndsTheDaemon(leaves: true);

    [OsFact]
    public void A_managed_heap_at_its_end_ends_the_daemon() => EndsTheDaemon(leaves: false);

    [Theory]
    [InlineData(64)]
    [InlineData(65536)]
    public void Held_up_writers_never_keep_readers_out_and_all_get_through(int length) => Backends.Run(() =>
    {
        var fs = new MemFs();
        using var client = new FuseClient(fs);
        using var gate = new FuseGate();
        ulong file = client.CreateFile("f");
        fs.OnWrite = gate.Pass;
        byte[] data = Pattern(length);
        ulong[] writes = [.. Enumerable.Range(0, 12).Select(i => client.Send(FuseOpcode.Write, file, WriteBody((ulong)(i * length), data)))];
        for (int i = 0; i < 50; i++)
        {
            Assert.Equal(0, client.Call(FuseOpcode.GetAttr, 1, new byte[16]).Error);
        }

        WaitForParked(client, 10);
        Assert.DoesNotContain(writes, client.HasReply);
        gate.Open();
        Assert.All(writes, w => Assert.Equal(0, client.Receive(w).Error));
        for (int i = 0; i < 12; i++)
        {
            Assert.Equal(data, client.Call(FuseOpcode.Read, file, ReadBody((ulong)(i * length), (uint)length)).Body);
        }

        Assert.Equal(0, client.Session.ParkedCount);
    }, Seeds);

    [Fact]
    public void Parked_requests_stay_within_the_budget_and_reading_goes_on_when_they_are_done() => Backends.Run(() =>
    {
        var fs = new MemFs();
        const long budget = 2 << 20;
        var options = new FuseSessionOptions { MaxWrite = 256 << 10, MaxWorkers = 4, BufferBytesMax = budget };
        using var client = new FuseClient(fs, options);
        using var gate = new FuseGate();
        ulong file = client.CreateFile("f");
        fs.OnWrite = gate.Pass;
        ulong[] writes = [.. Enumerable.Range(0, 30).Select(i => client.Send(FuseOpcode.Write, file, WriteBody(0, new byte[256 << 10])))];
        ulong read = client.Send(FuseOpcode.GetAttr, 1, new byte[16]);
        Kthread.Sleep(100_000_000);
        Assert.True(client.Transport.Pending > 0, "the budget stopped reading");
        Assert.InRange(client.Session.BufferBytes, 1 << 20, budget);
        gate.Open();
        Assert.All(writes, w => Assert.Equal(0, client.Receive(w).Error));
        Assert.Equal(0, client.Receive(read).Error);
    }, Seeds);

    [Fact]
    public void Interrupt_ends_a_parked_request_and_leaves_others_alone() => Backends.Run(() =>
    {
        var fs = new MemFs();
        using var client = new FuseClient(fs);
        using var gate = new FuseGate();
        ulong file = client.CreateFile("f");
        fs.OnWrite = gate.Pass;
        ulong[] writes = new ulong[5];
        for (int i = 0; i < 5; i++)
        {
            if (i == 2)
            {
                gate.WaitForHeld(2);
            }

            writes[i] = client.Send(FuseOpcode.Write, file, WriteBody(0, new byte[8]));
        }

        WaitForParked(client, 3);
        client.Send(FuseOpcode.Interrupt, 0, U64(writes[3]));
        client.Send(FuseOpcode.Interrupt, 0, U64(writes[0]));
        client.Send(FuseOpcode.Interrupt, 0, U64(424242));
        Assert.Equal(Errno.EINTR, client.Receive(writes[3]).Error);
        gate.Open();
        foreach (int i in new[] { 0, 1, 2, 4 })
        {
            Assert.Equal(0, client.Receive(writes[i]).Error);
        }
    }, Seeds);

    [Fact]
    public void Stop_lets_running_requests_finish_and_gives_all_memory_back() => Backends.Run(() =>
    {
        var fs = new MemFs();
        using var gate = new FuseGate();
        var client = new FuseClient(fs);
        ulong file = client.CreateFile("f");
        fs.OnWrite = gate.Pass;
        ulong write = client.Send(FuseOpcode.Write, file, WriteBody(0, new byte[8]));
        gate.WaitForHeld(1);
        Assert.False(client.Session.Stop(Kclock.NowNs + 50_000_000));
        gate.Open();
        Assert.True(client.Session.Stop(Kclock.NowNs + 10_000_000_000));
        Assert.Equal(0, client.Receive(write).Error);
        client.Dispose();
        Assert.Equal((0, 0L), (client.Session.WorkerCount, client.Session.BufferBytes));
    }, Seeds);

    [Fact]
    public void Statistics_and_trace_tell_each_request() => Backends.Run(() =>
    {
        var trace = new StringWriter();
        var client = new FuseClient(new MemFs(), new FuseSessionOptions { MaxWorkers = 3, Trace = trace });
        client.Call(FuseOpcode.Rmdir, 1, Z("nothing"));
        client.Call(FuseOpcode.Rmdir, 1, Z("nothing"));
        client.Call(FuseOpcode.StatFs, 1);
        client.Dispose();
        FuseOpStats rmdir = client.Session.Statistics().Single(s => s.Opcode == FuseOpcode.Rmdir);
        Assert.Equal((2, 2), (rmdir.Count, rmdir.Errors));
        Assert.InRange(rmdir.MaxNs, 1, rmdir.TotalNs);
        Assert.Contains("Rmdir node 1 pid 0 len 48 -> errno 2", trace.ToString(), StringComparison.Ordinal);
    }, Seeds);

    [Fact]
    public void Memory_and_workers_follow_the_size_of_the_arena() => Backends.Run(() =>
    {
        using var memory = new KmemScope(64 << 20);
        var options = FuseSessionOptions.ForArena();
        long arena = KmemSystem.Current.ArenaBytes;
        Assert.True(options.MaxWrite <= arena / 64);
        Assert.InRange(options.MaxWorkers, 3, 16);
        Assert.True(options.BufferBytesMax <= arena / 10);
    }, Seeds);
}
