using Xunit;

namespace ZfsLite.Fs.Tests;

public sealed unsafe class ZioCompressTests
{
    public static TheoryData<ZioCompressType> Functions =>
        [ZioCompressType.Lzjb, ZioCompressType.Zle, ZioCompressType.Gzip1, ZioCompressType.Gzip6, ZioCompressType.Gzip9];

    [Theory]
    [MemberData(nameof(Functions))]
    public void What_was_compressed_comes_back(ZioCompressType type)
    {
        var random = new Random(1);
        int shrunk = 0;
        foreach (int size in (int[])[1024, 1536, 4096, 10240, 16384, 131072])
        {
            for (int kind = 0; kind < 6; kind++)
            {
                byte[] data = Sample(random, size, kind);
                var stored = new byte[size];
                Array.Fill(stored, (byte)0xEE);
                var back = new byte[size];
                fixed (byte* p = data, q = stored, r = back)
                {
                    int n = ZioCompress.Compress(type, p, size, q);
                    Assert.True(n % 512 == 0 && n <= ((size - (size / 8)) & ~511), $"{type} {size} -> {n}");
                    if (n > 0)
                    {
                        shrunk++;
                        Assert.True(ZioCompress.Decompress(type, q, n, r, size));
                        Assert.Equal(data, back);
                    }
                }
            }
        }

        Assert.True(shrunk >= 8, $"{type} compressed only {shrunk} samples");
    }

    [Theory]
    [MemberData(nameof(Functions))]
    public void Random_bytes_are_stored_as_they_are_and_nothing_is_written_past_the_room(ZioCompressType type)
    {
        byte[] data = Sample(new Random(2), 16384, 0);
        var stored = new byte[16384 + 64];
        Array.Fill(stored, (byte)0xEE);
        fixed (byte* p = data, q = stored)
        {
            Assert.Equal(0, ZioCompress.Compress(type, p, 16384, q));
            Assert.False(stored.AsSpan(16384).ContainsAnyExcept((byte)0xEE));
            Assert.Equal(0, ZioCompress.Compress(type, p, 512, q));
        }
    }

    [Theory]
    [MemberData(nameof(Functions))]
    public void Damaged_input_is_refused_or_decoded_within_bounds(ZioCompressType type)
    {
        var random = new Random(3);
        const int Size = 8192, Guard = 256;
        byte[] data = Sample(random, Size, 2);
        var stored = new byte[Size];
        fixed (byte* p = data, q = stored)
        {
            int n = ZioCompress.Compress(type, p, Size, q);
            Assert.True(n > 0);
            for (int round = 0; round < 2000; round++)
            {
                byte[] bad = stored.AsSpan(0, n).ToArray();
                for (int k = random.Next(1, 8); k > 0; k--)
                {
                    bad[random.Next(n)] = (byte)random.Next(256);
                }

                int cut = random.Next(4) == 0 ? random.Next(1, n) : n;
                var target = new byte[Guard + Size + Guard];
                Array.Fill(target, (byte)0xA5);
                fixed (byte* b = bad, t = target)
                {
                    _ = ZioCompress.Decompress(type, b, cut, t + Guard, Size);
                }

                Assert.False(target.AsSpan(0, Guard).ContainsAnyExcept((byte)0xA5));
                Assert.False(target.AsSpan(Guard + Size).ContainsAnyExcept((byte)0xA5));
            }
        }
    }

    [Fact]
    public void Lzjb_decodes_the_format_by_hand()
    {
        // Map 0b1000: three literals "abc", then a match of 6 bytes, 3 back (overlapping), then literal "d".
        byte[] src = [0b0000_1000, (byte)'a', (byte)'b', (byte)'c', (6 - 3) << 2, 3, (byte)'d'];
        var dst = new byte[10];
        fixed (byte* p = src, q = dst)
        {
            Assert.True(ZioCompress.Decompress(ZioCompressType.Lzjb, p, src.Length, q, 10));
            Assert.Equal("abcabcabcd"u8.ToArray(), dst);
            src[5] = 4;
            Assert.False(ZioCompress.Decompress(ZioCompressType.Lzjb, p, src.Length, q, 10));
            src[5] = 0;
            Assert.False(ZioCompress.Decompress(ZioCompressType.Lzjb, p, src.Length, q, 10));
        }
    }

    [Fact]
    public void Zle_decodes_the_format_by_hand()
    {
        byte[] src = [1, (byte)'x', (byte)'y', 64 + 4, 0, (byte)'z'];
        var dst = new byte[8];
        fixed (byte* p = src, q = dst)
        {
            Assert.True(ZioCompress.Decompress(ZioCompressType.Zle, p, src.Length, q, 8));
            Assert.Equal([(byte)'x', (byte)'y', 0, 0, 0, 0, 0, (byte)'z'], dst);
        }
    }

    [Fact]
    public void All_zero_sees_a_single_bit_anywhere()
    {
        var data = new byte[1536];
        fixed (byte* p = data)
        {
            Assert.True(ZioCompress.IsAllZero(p, data.Length));
            for (int i = 0; i < data.Length; i++)
            {
                data[i] = 0x10;
                Assert.False(ZioCompress.IsAllZero(p, data.Length));
                data[i] = 0;
            }
        }
    }

    [Fact]
    public void Lzjb_and_zle_allocate_nothing()
    {
        byte[] data = Sample(new Random(4), 131072, 2);
        var stored = new byte[131072];
        var back = new byte[131072];
        fixed (byte* p = data, q = stored, r = back)
        {
            foreach (ZioCompressType type in (ZioCompressType[])[ZioCompressType.Lzjb, ZioCompressType.Zle])
            {
                int n = ZioCompress.Compress(type, p, data.Length, q);
                _ = ZioCompress.Decompress(type, q, n, r, data.Length);
                long before = GC.GetAllocatedBytesForCurrentThread();
                n = ZioCompress.Compress(type, p, data.Length, q);
                _ = ZioCompress.Decompress(type, q, n, r, data.Length);
                Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
            }
        }
    }

    /// <summary>0 random, 1 text, 2 runs of zeros and text, 3 one byte, 4 zeros with a tail, 5 period of 700.</summary>
    private static byte[] Sample(Random random, int size, int kind)
    {
        var data = new byte[size];
        switch (kind)
        {
            case 0:
                random.NextBytes(data);
                break;
            case 1:
                for (int i = 0; i < size; i++)
                {
                    data[i] = (byte)"the quick brown fox jumps over the lazy dog "[(i + (i / 97)) % 44];
                }

                break;
            case 2:
                for (int i = 0; i < size;)
                {
                    int run = Math.Min(random.Next(1, 400), size - i);
                    if (random.Next(2) == 0)
                    {
                        data.AsSpan(i, run).Fill((byte)random.Next(65, 91));
                    }

                    i += run;
                    run = Math.Min(random.Next(0, 260), size - i);
                    i += run;
                }

                break;
            case 3:
                Array.Fill(data, (byte)7);
                break;
            case 4:
                data[^1] = 1;
                break;
            default:
                for (int i = 0; i < size; i++)
                {
                    data[i] = (byte)((i % 700) * 31 >> 2);
                }

                break;
        }

        return data;
    }
}
