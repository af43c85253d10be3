using System.Text;
using Xunit;
using ZfsLite.TestKit;
using ZfsLite.Txn;

namespace ZfsLite.Fs.Tests;

public sealed unsafe class ZapTests : IDisposable
{
    private static readonly DmuTx s_tx = DmuTx.CreateSyncing(null!, 4);
    private readonly KmemScope _kmem = new(16 << 20);
    private readonly MemoryZapBlocks _blocks = new();
    private readonly ZapStore _store;

    public ZapTests()
    {
        _store = new ZapStore(_blocks);
        ZapCore.Create(_store, 0, s_tx);
    }

    public void Dispose()
    {
        _blocks.Dispose();
        _kmem.Dispose();
    }

    [Fact]
    public void Micro_grows_by_512_and_becomes_fat_at_128_KiB()
    {
        for (int i = 0; i < 2047; i++)
        {
            Assert.Equal(0, Add($"name{i}", (ulong)i));
        }

        Assert.Equal(128 * 1024, _blocks.BlockSize);
        Assert.Equal(0x8000000000000003UL, BitConverter.ToUInt64(_blocks.Bytes(0)));
        Assert.Equal(0, Add("one more", 5));
        Assert.Equal(16 * 1024, _blocks.BlockSize);
        Assert.Equal(0x8000000000000001UL, BitConverter.ToUInt64(_blocks.Bytes(0)));
        for (int i = 0; i < 2047; i++)
        {
            Assert.Equal((ulong)i, Get($"name{i}"));
        }

        Assert.Equal(2048UL, ZapCore.Count(_store));
    }

    [Theory]
    [InlineData(49, true)]
    [InlineData(50, false)]
    [InlineData(255, false)]
    public void Long_names_make_it_fat(int length, bool micro)
    {
        Assert.Equal(0, Add("short", 1));
        string name = new('x', length);
        Assert.Equal(0, Add(name, 7));
        Assert.Equal(micro, BitConverter.ToUInt64(_blocks.Bytes(0)) == 0x8000000000000003UL);
        Assert.Equal(7UL, Get(name));
        Assert.Equal(1UL, Get("short"));
    }

    [Fact]
    public void Names_are_checked()
    {
        Assert.Equal(Errno.EINVAL, Add("", 1));
        Assert.Equal(Errno.EINVAL, Add("a\0b", 1));
        Assert.Equal(Errno.ENAMETOOLONG, Add(new string('x', 256), 1));
        Assert.Equal(0, Add("a", 1));
        Assert.Equal(Errno.EEXIST, Add("a", 2));
        Assert.Equal(1UL, Get("a"));
        Assert.Equal(Errno.ENOENT, Remove("b"));
        Assert.Equal(0, Remove("a"));
        Assert.Equal(Errno.ENOENT, ZapCore.Lookup(_store, "a"u8, false, out _));
    }

    [Fact]
    public void Arrays_and_strings_come_back()
    {
        byte[] text = Encoding.UTF8.GetBytes("lzjb, a string value that takes several chunks of a leaf\0");
        ulong[] words = [1, ulong.MaxValue, 0x0123456789abcdef];
        uint[] ints = [0xdeadbeef];
        Assert.Equal(0, ZapCore.Set(_store, "text"u8, 1, text, false, s_tx));
        Assert.Equal(0, ZapCore.Set(_store, "words"u8, 8, System.Runtime.InteropServices.MemoryMarshal.AsBytes(words.AsSpan()), false, s_tx));
        Assert.Equal(0, ZapCore.Set(_store, "ints"u8, 4, System.Runtime.InteropServices.MemoryMarshal.AsBytes(ints.AsSpan()), false, s_tx));
        var room = new byte[200];
        Assert.Equal(0, ZapCore.Lookup(_store, "text"u8, false, room, out int size, out int count));
        Assert.Equal((1, text.Length), (size, count));
        Assert.Equal(text, room[..count]);
        Assert.Equal(0, ZapCore.Lookup(_store, "words"u8, false, room, out size, out count));
        Assert.Equal((8, 3), (size, count));
        Assert.Equal(ulong.MaxValue, BitConverter.ToUInt64(room, 8));
        Assert.Equal(0x0123456789abcdefUL, BitConverter.ToUInt64(room, 16));
        Assert.Equal(0, ZapCore.Lookup(_store, "ints"u8, false, out ulong one));
        Assert.Equal(0xdeadbeefUL, one);
        Assert.Equal(Errno.EOVERFLOW, ZapCore.Lookup(_store, "words"u8, false, out _));
        Assert.Equal(Errno.EOVERFLOW, ZapCore.Lookup(_store, "text"u8, false, room.AsSpan(0, 5), out _, out _));
        Assert.Equal(Errno.E2BIG, ZapCore.Set(_store, "big"u8, 1, new byte[16 * 1024], false, s_tx));
    }

    [Fact]
    public void Values_are_stored_big_endian_in_chunks()
    {
        Assert.Equal(0, ZapCore.Set(_store, "v"u8, 2, [0x34, 0x12, 0x78, 0x56], false, s_tx));
        int at = _blocks.Bytes(1).IndexOf(new byte[] { 251, 0x12, 0x34, 0x56, 0x78 });
        Assert.True(at > 0);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Behaves_as_a_dictionary(int seed)
    {
        var random = new Random(seed);
        var model = new Dictionary<string, ulong>();
        for (int step = 0; step < 30_000; step++)
        {
            string name = "n" + random.Next(seed == 1 ? 1500 : 9000) + (seed == 3 ? new string('y', 60) : "");
            ulong value = (ulong)random.NextInt64();
            switch (random.Next(6))
            {
                case 0 or 1 or 2:
                    Assert.Equal(model.TryAdd(name, value) ? 0 : Errno.EEXIST, Add(name, value));
                    break;
                case 3:
                    Assert.Equal(model.Remove(name) ? 0 : Errno.ENOENT, Remove(name));
                    break;
                case 4:
                    model[name] = value;
                    Assert.Equal(0, ZapCore.Set(_store, Encoding.UTF8.GetBytes(name), 8, BitConverter.GetBytes(value), true, s_tx));
                    break;
                default:
                    int error = ZapCore.Lookup(_store, Encoding.UTF8.GetBytes(name), false, out ulong got);
                    Assert.Equal(model.TryGetValue(name, out ulong want), error == 0);
                    Assert.Equal(want, error == 0 ? got : 0);
                    break;
            }

            if (step % 5000 == 4999)
            {
                _blocks.Reopen();
                AssertSame(model);
            }
        }

        Assert.Equal(0, _blocks.Holds);
    }

    [Fact]
    public void The_pointer_table_grows_out_of_the_header()
    {
        var model = new Dictionary<string, ulong>();
        string tail = new('t', 190);
        for (int i = 0; i < 110_000; i++)
        {
            string name = "file" + i + tail;
            model.Add(name, (ulong)i);
            Assert.Equal(0, Add(name, (ulong)i));
        }

        // zt_numblks and zt_shift: the embedded table has 1024 entries, the first external one 2048, the next 4096.
        Assert.True(BitConverter.ToUInt64(_blocks.Bytes(0)[24..]) >= 2);
        Assert.True(BitConverter.ToUInt64(_blocks.Bytes(0)[32..]) >= 12);
        _blocks.Reopen();
        AssertSame(model);
        foreach (string name in model.Keys)
        {
            Assert.Equal(0, Remove(name));
        }

        Assert.Equal(0UL, ZapCore.Count(_store));
        AssertSame([]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Names_of_equal_hash_are_kept_apart(bool fat)
    {
        // A CRC is linear: names of one length that collide do so under every salt.
        string[] same = ["oenuhfza", "hcqrruby"];
        if (fat)
        {
            Assert.Equal(0, Add(new string('l', 60), 99));
        }

        Assert.Equal(0, Add(same[0], 10));
        Assert.Equal(0, Add(same[1], 11));
        Assert.Equal((10UL, 11UL), (Get(same[0]), Get(same[1])));
        List<(string Name, ulong Cookie)> seen = List();
        Assert.Equal(1, Math.Abs((long)(seen.Find(e => e.Name == same[0]).Cookie - seen.Find(e => e.Name == same[1]).Cookie)));
        Assert.Equal(0, Remove(same[0]));
        Assert.Equal(11UL, Get(same[1]));

        // The number that became free is used again.
        Assert.Equal(0, Add(same[0], 12));
        Assert.Equal(seen, List());
        Assert.Equal((12UL, 11UL), (Get(same[0]), Get(same[1])));
    }

    [Fact]
    public void Cursor_positions_survive_changes_and_the_change_to_fat()
    {
        for (int i = 0; i < 500; i++)
        {
            Add("keep" + i, (ulong)i);
            Add("drop" + i, (ulong)i);
        }

        var seen = new List<string>();
        Span<byte> buffer = stackalloc byte[256];
        ulong cookie = 0;
        int step = 0;
        while (true)
        {
            var cursor = new ZapCursor(_store, buffer, cookie);
            if (!cursor.MoveNext())
            {
                break;
            }

            seen.Add(Encoding.UTF8.GetString(cursor.Name));
            Assert.True(cursor.NextCookie > cookie && cursor.NextCookie < 1UL << 63 && cursor.Cookie >= 3);
            cookie = cursor.NextCookie;
            if (step < 500)
            {
                Remove("drop" + step);
                Add($"new{step}", 1);
            }

            if (step++ == 300)
            {
                Add(new string('f', 100), 1);
                Assert.Equal(16384, _blocks.BlockSize);
                _blocks.Reopen();
            }
        }

        Assert.Equal(seen.Count, seen.Distinct().Count());
        for (int i = 0; i < 500; i++)
        {
            Assert.Contains("keep" + i, seen);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Upper_casing_folds_the_hash_but_stores_the_name(bool fat)
    {
        using var blocks = new MemoryZapBlocks();
        var store = new ZapStore(blocks);
        ZapCore.Create(store, 2, s_tx);
        if (fat)
        {
            ZapCore.Set(store, Encoding.UTF8.GetBytes(new string('l', 60)), 8, new byte[8], false, s_tx);
        }

        byte[] one = [1, 0, 0, 0, 0, 0, 0, 0];
        Assert.Equal(0, ZapCore.Set(store, "Straße-é"u8, 8, one, false, s_tx));
        Assert.Equal(Errno.ENOENT, ZapCore.Lookup(store, "STRAße-É"u8, false, out _));
        Assert.Equal(0, ZapCore.Lookup(store, "STRAße-É"u8, true, out ulong value));
        Assert.Equal(1UL, value);
        Assert.Equal(0, ZapCore.Lookup(store, "Straße-é"u8, false, out value));

        // Another spelling is another entry with the same hash.
        Assert.Equal(0, ZapCore.Set(store, "straße-é"u8, 8, new byte[8], false, s_tx));
        Assert.Equal(0, ZapCore.Lookup(store, "straße-é"u8, false, out value));
        Assert.Equal(0UL, value);
    }

    [Fact]
    public void A_fixed_salt_gives_the_hash_that_the_format_asks_for()
    {
        // CRC-64/ECMA-182 reflected: "123456789" from all ones, before the final inversion.
        Assert.Equal(~0x995DC9BBDF1939FAUL & ~((1UL << 36) - 1), ZapHash.Of(ulong.MaxValue, "123456789"u8));
    }

    [Fact]
    public void Replacing_by_a_longer_value_splits_the_leaf()
    {
        for (int i = 0; i < 200; i++)
        {
            Assert.Equal(0, ZapCore.Set(_store, Encoding.UTF8.GetBytes("p" + i), 1, new byte[10], false, s_tx));
        }

        var value = new byte[2000];
        for (int i = 0; i < 20; i++)
        {
            Array.Fill(value, (byte)i);
            Assert.Equal(0, ZapCore.Set(_store, Encoding.UTF8.GetBytes("p" + i), 1, value, true, s_tx));
        }

        var room = new byte[2000];
        for (int i = 0; i < 200; i++)
        {
            Assert.Equal(0, ZapCore.Lookup(_store, Encoding.UTF8.GetBytes("p" + i), false, room, out _, out int count));
            Assert.Equal(i < 20 ? 2000 : 10, count);
            Assert.Equal(i < 20 ? i : 0, room[count - 1]);
        }

        Assert.Equal(200UL, ZapCore.Count(_store));
    }

    private int Add(string name, ulong value) =>
        ZapCore.Set(_store, Encoding.UTF8.GetBytes(name), 8, BitConverter.GetBytes(value), false, s_tx);

    private int Remove(string name) => ZapCore.Remove(_store, Encoding.UTF8.GetBytes(name), s_tx);

    private ulong Get(string name)
    {
        Assert.Equal(0, ZapCore.Lookup(_store, Encoding.UTF8.GetBytes(name), false, out ulong value));
        return value;
    }

    private List<(string Name, ulong Cookie)> List()
    {
        var all = new List<(string, ulong)>();
        Span<byte> buffer = stackalloc byte[256];
        var cursor = new ZapCursor(_store, buffer, 0);
        while (cursor.MoveNext())
        {
            all.Add((Encoding.UTF8.GetString(cursor.Name), cursor.Cookie));
        }

        return all;
    }

    private void AssertSame(Dictionary<string, ulong> model)
    {
        Assert.Equal((ulong)model.Count, ZapCore.Count(_store));
        Span<byte> buffer = stackalloc byte[256];
        var cursor = new ZapCursor(_store, buffer, 0);
        ulong last = 0;
        int n = 0;
        while (cursor.MoveNext())
        {
            n++;
            Assert.Equal(model[Encoding.UTF8.GetString(cursor.Name)], cursor.Value);
            Assert.True(cursor.Cookie > last);
            last = cursor.Cookie;
        }

        Assert.Equal(model.Count, n);
    }
}
