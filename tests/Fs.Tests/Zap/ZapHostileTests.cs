using System.Text;
using Xunit;
using ZfsLite.TestKit;
using ZfsLite.Txn;

namespace ZfsLite.Fs.Tests;

/// <summary>Damaged ZAPs give an error, never a crash or an endless loop.</summary>
public sealed class ZapHostileTests : IDisposable
{
    private readonly KmemScope _kmem = new(16 << 20);

    private static readonly DmuTx s_tx = DmuTx.CreateSyncing(null!, 4);

    public void Dispose() => _kmem.Dispose();

    [Theory]
    [InlineData(11, false)]
    [InlineData(12, true)]
    [InlineData(13, true)]
    public void Random_damage_never_escapes(int seed, bool fat)
    {
        var random = new Random(seed);
        int errors = 0;
        for (int round = 0; round < 60; round++)
        {
            using var blocks = new MemoryZapBlocks();
            var store = new ZapStore(blocks);
            ZapCore.Create(store, 0, s_tx);
            int names = fat ? 400 : 60;
            for (int i = 0; i < names; i++)
            {
                string name = "n" + i + (fat ? new string('y', 60) : "");
                ZapCore.Set(store, Encoding.UTF8.GetBytes(name), 8, new byte[8], false, s_tx);
            }

            blocks.Reopen();
            int hits = 1 + random.Next(40);
            for (int i = 0; i < hits; i++)
            {
                Span<byte> b = blocks.Bytes((ulong)random.Next((int)blocks.HighestBlock + 1));
                b[random.Next(4) == 0 ? random.Next(104) : random.Next(b.Length)] = (byte)random.Next(256);
            }

            errors += Use(store, names, fat);
            Assert.Equal(0, blocks.Holds);
            Assert.False(blocks.Lock.IsWriteHeld);
        }

        Assert.True(errors > 0);
    }

    [Fact]
    public void A_chain_that_runs_in_a_circle_is_an_error()
    {
        using var blocks = new MemoryZapBlocks();
        var store = new ZapStore(blocks);
        ZapCore.Create(store, 0, s_tx);
        byte[] name = Encoding.UTF8.GetBytes(new string('z', 60));
        Assert.Equal(0, ZapCore.Set(store, name, 8, new byte[8], false, s_tx));
        Span<byte> leaf = blocks.Bytes(1);
        int entry = leaf[(48 + 1024)..].IndexOf((byte)252) / 24;
        BitConverter.TryWriteBytes(leaf[(48 + 1024 + (entry * 24) + 2)..], (ushort)entry);
        byte[] other = (byte[])name.Clone();
        other[0] = (byte)'a';

        // Whatever bucket the other name falls in, a listing walks the circle.
        ZfsException e = Assert.Throws<ZfsException>(() => Walk(store));
        Assert.Equal(Errno.EIO, e.Errno);
        Assert.Equal(0, blocks.Holds);
    }

    [Fact]
    public void A_block_that_is_no_ZAP_is_refused()
    {
        using var blocks = new MemoryZapBlocks();
        ZfsException e = Assert.Throws<ZfsException>(() => ZapCore.Lookup(new ZapStore(blocks), "x"u8, false, out _));
        Assert.Equal(Errno.EIO, e.Errno);
    }

    [Fact]
    public void Names_built_to_collide_end_in_ENOSPC_not_in_a_huge_table()
    {
        using var blocks = new MemoryZapBlocks();
        var store = new ZapStore(blocks);
        ZapCore.Create(store, 0, s_tx);
        ZapCore.Set(store, Encoding.UTF8.GetBytes(new string('l', 60)), 8, new byte[8], false, s_tx);
        ulong salt = BitConverter.ToUInt64(blocks.Bytes(0)[80..]);

        // Names that share their upper 13 hash bits.
        int added = 0;
        int error = 0;
        for (int i = 0; error == 0; i++)
        {
            byte[] name = Encoding.UTF8.GetBytes("a" + i);
            if (ZapHash.Of(salt, name) >> 51 == 7)
            {
                error = ZapCore.Set(store, name, 8, new byte[8], false, s_tx);
                added += error == 0 ? 1 : 0;
            }
        }

        Assert.Equal(Errno.ENOSPC, error);
        Assert.True(added >= 200);
        Assert.True(blocks.BlockCount < 50);
    }

    private static void Walk(ZapStore store)
    {
        Span<byte> buffer = stackalloc byte[256];
        var cursor = new ZapCursor(store, buffer, 0);
        for (int i = 0; cursor.MoveNext(); i++)
        {
            Assert.True(i < 1_000_000, "a walk without end");
        }
    }

    private static int Use(ZapStore store, int names, bool fat)
    {
        int errors = 0;
        var random = new Random(5);
        for (int i = 0; i < names + 20; i++)
        {
            byte[] name = Encoding.UTF8.GetBytes("n" + i + (fat ? new string('y', 60) : ""));
            errors += Try(() => ZapCore.Lookup(store, name, false, out _));
            if (random.Next(3) == 0)
            {
                errors += Try(() => ZapCore.Remove(store, name, s_tx));
            }

            if (random.Next(3) == 0)
            {
                errors += Try(() => ZapCore.Set(store, name, 8, new byte[8], true, s_tx));
            }
        }

        errors += Try(() =>
        {
            Walk(store);
            return 0;
        });
        return errors;
    }

    private static int Try(Func<int> action)
    {
        try
        {
            action();
            return 0;
        }
        catch (ZfsException e) when (e.Errno is Errno.EIO or Errno.EOPNOTSUPP)
        {
            return 1;
        }
    }
}
