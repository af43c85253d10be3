using Xunit;
using ZfsLite.Kmem;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

public sealed unsafe class NvlistTests
{
    [Fact]
    public void Every_type_survives_packing()
    {
        Nvlist list = Sample();
        byte[] packed = list.Pack();
        Nvlist back = Nvlist.Parse(packed);
        Assert.Equal(packed, back.Pack());
        Assert.Equal(list.Pairs.Select(p => (p.Name, p.Type)), back.Pairs.Select(p => (p.Name, p.Type)));
        Assert.Equal(ulong.MaxValue, back.GetUInt64("u64"));
        Assert.Equal("grüße", back.GetString("s"));
        Assert.Equal([1, 2, 3UL], back.TryGet("u64s", out ulong[]? a) ? a : []);
        Assert.Equal("inner", back.GetNvlistArray("lists")[1].GetString("x"));
    }

    [Fact]
    public void The_bytes_are_those_of_the_format()
    {
        byte[] packed = new Nvlist().Set("version", 23).Pack();
        byte[] expected = Convert.FromHexString(
            "01010000" + "00000000" + "00000001" + "00000024" + "00000020" + "00000007" + "76657273696f6e00" + "00000008" + "00000001"
            + "0000000000000017" + "00000000" + "00000000");
        Assert.Equal(expected, packed);
    }

    [GoldenFact("goldc")]
    public void Labels_of_another_writer_pack_to_the_same_bytes() => RoundTripLabels("goldc");

    [GoldenFact("golda12")]
    public void Labels_of_golda12_pack_to_the_same_bytes() => RoundTripLabels("golda12");

    [Fact]
    public void Every_truncation_and_many_damages_end_in_an_error_or_a_list()
    {
        byte[] packed = Sample().Pack();
        for (int n = 0; n < packed.Length; n++)
        {
            Assert.Null(Nvlist.TryParse(packed.AsSpan(0, n), out string? problem));
            Assert.NotNull(problem);
        }

        var random = new Random(1);
        for (int round = 0; round < 20000; round++)
        {
            byte[] bad = (byte[])packed.Clone();
            for (int k = random.Next(1, 5); k > 0; k--)
            {
                bad[random.Next(bad.Length)] = (byte)(random.Next(3) == 0 ? 255 : random.Next(256));
            }

            _ = Nvlist.TryParse(bad, out _);
        }
    }

    [Fact]
    public void Deep_nesting_is_refused()
    {
        Nvlist list = new Nvlist().Set("x", 1);
        for (int i = 0; i < 100; i++)
        {
            list = new Nvlist().Set("n", list);
        }

        Assert.Null(Nvlist.TryParse(list.Pack(), out string? problem));
        Assert.Contains("deep", problem);
    }

    [GoldenFact("goldc")]
    public void A_configuration_makes_the_label_it_was_read_from()
    {
        using var kmem = new KmemScope(64 << 20);
        foreach (MemoryVdevIo io in GoldenPools.LoadAll("goldc"))
        {
            VdevLabelScan scan = VdevLabel.Scan(io);
            Assert.Equal(scan.ConfigList!.Pack(), scan.Config!.ToLabel(scan.Config.Tops[0]).Pack());
        }
    }

    [Theory]
    [InlineData("raidz")]
    [InlineData("mirror")]
    [InlineData("spare")]
    public void Unsupported_kinds_of_vdev_are_refused_by_name(string type)
    {
        var config = new PoolConfig { Name = "tank", Tops = [new VdevConfig { Type = type, Ashift = 9, MetaslabShift = 19 }] };
        Assert.Contains(type, config.Unsupported());
    }

    [Fact]
    public void Newer_versions_are_refused()
    {
        Assert.Contains("28", new PoolConfig { Name = "tank", Version = 28 }.Unsupported());
        Assert.Contains("5000", new PoolConfig { Name = "tank", Version = 5000 }.Unsupported());
    }

    private static void RoundTripLabels(string pool)
    {
        byte[] area = new byte[VdevLabel.ConfigSize];
        foreach (MemoryVdevIo io in GoldenPools.LoadAll(pool))
        {
            for (int label = 0; label < 4; label++)
            {
                fixed (byte* p = area)
                {
                    Assert.Equal(0, io.Read(VdevLabel.OffsetOf(label, io.Size) + VdevLabel.ConfigOffset, p, area.Length));
                }

                byte[] packed = Nvlist.Parse(area).Pack();
                Assert.Equal(area[..packed.Length], packed);
                Assert.False(area.AsSpan(packed.Length, area.Length - packed.Length - 40).ContainsAnyExcept((byte)0));
            }
        }
    }

    private static Nvlist Sample() => new Nvlist()
        .Set("u64", ulong.MaxValue).Set("s", "grüße").SetBoolean("flag").Set("byte", NvType.Byte, (byte)1)
        .Set("i8", NvType.Int8, (sbyte)-1).Set("u8", NvType.UInt8, (byte)255).Set("i16", NvType.Int16, (short)-2)
        .Set("u16", NvType.UInt16, (ushort)65535).Set("i32", NvType.Int32, -3).Set("u32", NvType.UInt32, uint.MaxValue)
        .Set("i64", NvType.Int64, -4L).Set("hr", NvType.HrTime, 5L).Set("bool", NvType.BooleanValue, true)
        .Set("bytes", NvType.ByteArray, new byte[] { 1, 2, 3 }).Set("i16s", NvType.Int16Array, new short[] { -1, 1 })
        .Set("u16s", NvType.UInt16Array, new ushort[] { 1 }).Set("i32s", NvType.Int32Array, new[] { -1, 7 })
        .Set("u32s", NvType.UInt32Array, new uint[] { 9 }).Set("i64s", NvType.Int64Array, new[] { -9L })
        .Set("u64s", [1, 2, 3UL]).Set("strings", NvType.StringArray, new[] { "a", "bcde", "" })
        .Set("list", new Nvlist().Set("y", 2)).Set("lists", [new Nvlist(), new Nvlist().Set("x", "inner")]);
}
