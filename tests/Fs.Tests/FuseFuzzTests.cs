using Xunit;
using ZfsLite.Fs;
using ZfsLite.TestKit;
using static Fs.Tests.FuseClient;

namespace Fs.Tests;

/// <summary>Random and mutated messages: each gets one well-formed answer or none, and the session stays sound.</summary>
[Collection("Fuse")]
public class FuseFuzzTests
{
    private const int Seeds = 2;

    private static int Messages => Backends.IsSim ? 300 : 4000;

    private static readonly FuseOpcode[] s_silent = [FuseOpcode.Forget, FuseOpcode.BatchForget, FuseOpcode.Interrupt];

    /// <summary>Well-formed messages to mutate, one of most kinds.</summary>
    private static readonly (FuseOpcode Opcode, byte[] Body)[] s_seeds =
    [
        (FuseOpcode.Lookup, Z("a")),
        (FuseOpcode.GetAttr, new byte[16]),
        (FuseOpcode.SetAttr, [.. U32(0x7ff, 0), .. new byte[80]]),
        (FuseOpcode.Symlink, [.. Z("s"), .. Z("target")]),
        (FuseOpcode.Mknod, [.. U32(0x81A4, 0, 0, 0), .. Z("n")]),
        (FuseOpcode.Mkdir, [.. U32(0x1FF, 0), .. Z("d")]),
        (FuseOpcode.Unlink, Z("a")),
        (FuseOpcode.Rmdir, Z("d")),
        (FuseOpcode.Rename, [.. U64(1), .. Z("a"), .. Z("b")]),
        (FuseOpcode.Rename2, [.. U64(1), .. U32(2, 0), .. Z("a"), .. Z("b")]),
        (FuseOpcode.Link, [.. U64(100), .. Z("l")]),
        (FuseOpcode.Open, U32(0x202, 0)),
        (FuseOpcode.Create, [.. U32(2, 0x1A4, 0, 0), .. Z("c")]),
        (FuseOpcode.Read, ReadBody(0, 4096)),
        (FuseOpcode.Write, WriteBody(0, new byte[300])),
        (FuseOpcode.StatFs, []),
        (FuseOpcode.Release, new byte[24]),
        (FuseOpcode.ReadDir, ReadBody(0, 4096)),
        (FuseOpcode.ReadDirPlus, ReadBody(0, 4096)),
        (FuseOpcode.SetXattr, [.. U32(3, 0), .. Z("user.a"), 1, 2, 3]),
        (FuseOpcode.GetXattr, [.. U32(100, 0), .. Z("user.a")]),
        (FuseOpcode.ListXattr, U32(100, 0)),
        (FuseOpcode.RemoveXattr, Z("user.a")),
        (FuseOpcode.Fallocate, [.. U64(0, 0, 4096), .. U32(3, 0)]),
        (FuseOpcode.Lseek, [.. U64(0, 0), .. U32(3, 0)]),
        (FuseOpcode.BatchForget, [.. U32(2, 0), .. new byte[32]]),
        (FuseOpcode.Interrupt, U64(5)),
        (FuseOpcode.Init, InitBody(7, 45, 0xffffffff, 0xffffffff)),
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Mutated_messages_get_one_answer_each(int seed) => Backends.Run(() =>
    {
        var random = new Random(seed);
        var fs = new MemFs();
        using var client = new FuseClient(fs);
        client.CreateFile("a");
        for (int i = 0; i < Messages; i++)
        {
            (FuseOpcode opcode, byte[] body) = s_seeds[random.Next(s_seeds.Length)];
            ulong node = random.Next(3) switch { 0 => 1ul, 1 => (ulong)random.Next(98, 110), _ => (ulong)random.NextInt64() };
            byte[] message = Mutate(random, Message(opcode, 1000 + (ulong)i, node, body));
            CapSizes(message);
            client.Transport.Submit(message);
            if (message.Length >= 40 && !s_silent.Contains((FuseOpcode)BitConverter.ToUInt32(message, 4)))
            {
                (int error, byte[] reply) = client.Receive(BitConverter.ToUInt64(message, 8));
                Assert.InRange(error, 0, 511);
                Assert.True(error == 0 || reply.Length == 0);
            }
        }

        Assert.Equal(0, client.Call(FuseOpcode.GetAttr, 1, new byte[16]).Error);
        Assert.DoesNotContain("Exception", client.Log, StringComparison.Ordinal);
    }, Seeds);

    /// <summary>On a pool, and with the heads of messages changed too.</summary>
    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    public void Mutated_messages_to_a_pool_get_one_answer_each(int seed) => Backends.Run(() =>
    {
        var random = new Random(seed);
        MemoryVdevIo? disk = null;
        Spa? spa = null;
        Objset? os = null;
        Zfsvfs? fs = null;
        using (var client = new FuseClient(
            () =>
            {
                disk = TestPool.Format(64 << 20);
                spa = TestPool.Open(disk);
                os = spa.OpenObjset("tank");
                fs = Zfsvfs.Mount(os, false, AtimeMode.On);
                var control = new ControlDirectory(new ZfsvfsFuse(fs));
                control.AddFile("kstat/text", static () => [1, 2, 3]);
                return control;
            },
            () =>
            {
                fs!.Unmount();
                spa!.CloseObjset(os!);
                spa.Close();
            }))
        {
            client.CreateFile("a");
            for (int i = 0; i < Messages / 2; i++)
            {
                (FuseOpcode opcode, byte[] body) = s_seeds[random.Next(s_seeds.Length)];
                ulong node = random.Next(5) switch { 0 or 1 => 1ul, 2 => (ulong)random.Next(1, 20), 3 => ControlDirectory.FirstObject + (ulong)random.Next(4), _ => (ulong)random.NextInt64() };
                byte[] message = Mutate(random, Message(opcode, 1000 + (ulong)i, node, body));
                if (message.Length >= 40 && random.Next(4) == 0)
                {
                    // Not the number, by which the answer is found.
                    int at = random.Next(4) == 0 ? random.Next(4, 8) : random.Next(16, 40);
                    message[at] = (byte)random.Next(256);
                }

                client.Transport.Submit(message);
                if (message.Length >= 40 && !s_silent.Contains((FuseOpcode)BitConverter.ToUInt32(message, 4)))
                {
                    (int error, byte[] reply) = client.Receive(BitConverter.ToUInt64(message, 8));
                    Assert.InRange(error, 0, 511);
                    Assert.True(error == 0 || reply.Length == 0);
                }
            }

            Assert.Equal(0, client.Call(FuseOpcode.GetAttr, 1, new byte[16]).Error);
            Assert.DoesNotContain("Exception", client.Log, StringComparison.Ordinal);
        }

        using var memory = new KmemScope();
        using PoolReader pool = PoolReader.Open([disk!]);
        Assert.Empty(PoolChecker.Run(pool).Findings);
    }, Seeds);

    [Fact]
    public void Pure_noise_does_no_harm() => Backends.Run(() =>
    {
        var random = new Random(99);
        using var client = new FuseClient(new MemFs());
        for (int i = 0; i < Messages; i++)
        {
            byte[] noise = new byte[random.Next(0, 400)];
            random.NextBytes(noise);
            client.Transport.Submit(noise);
        }

        ulong unique = client.Send(FuseOpcode.GetAttr, 1, new byte[16]);
        Assert.Equal(0, client.Receive(unique).Error);
        Assert.DoesNotContain("Exception", client.Log, StringComparison.Ordinal);
    }, Seeds);

    private static byte[] Mutate(Random random, byte[] message)
    {
        for (int n = random.Next(0, 4); n > 0; n--)
        {
            switch (random.Next(4))
            {
                case 0 when message.Length > 0:
                    message = message[..random.Next(message.Length)];
                    break;
                case 1:
                    message = [.. message, .. new byte[random.Next(1, 300)]];
                    break;
                case 2 when message.Length > 40:
                    message[random.Next(40, message.Length)] = (byte)random.Next(256);
                    break;
                case 3 when message.Length > 48:
                    random.NextBytes(message.AsSpan(random.Next(40, message.Length - 8), 8));
                    break;
            }
        }

        if (message.Length >= 4 && random.Next(4) != 0)
        {
            BitConverter.TryWriteBytes(message, message.Length);
        }

        return message;
    }

    /// <summary>A file system in memory can't hold a write at any offset: keeps them near.</summary>
    private static void CapSizes(byte[] message)
    {
        if (message.Length >= 56 && (FuseOpcode)BitConverter.ToUInt32(message, 4) is FuseOpcode.Write && message[55] < 0x80)
        {
            message.AsSpan(52, 4).Clear();
        }
    }
}
