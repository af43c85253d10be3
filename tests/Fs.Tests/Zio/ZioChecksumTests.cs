using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace ZfsLite.Fs.Tests;

public sealed unsafe class ZioChecksumTests
{
    public static TheoryData<int> Sizes => [512, 1024, 1536, 4096, 8704, 65536, 131072];

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Vectorised_fletcher4_equals_the_definition(int size)
    {
        byte[] data = RandomBytes(size, size);
        fixed (byte* p = data)
        {
            Checksum256 expected = Fletcher.Fletcher4Scalar(p, size, default);
            Assert.Equal(expected, Fletcher.Fletcher4Lanes4(p, size));
            Assert.Equal(expected, Fletcher.Fletcher4Lanes8(p, size));
            Assert.Equal(expected, ZioChecksum.Compute(ZioChecksumType.Fletcher4, p, size));
        }
    }

    [Fact]
    public void Fletcher4_wraps_and_counts_every_word_of_any_length()
    {
        Prop.ForAll<byte[]>(data =>
        {
            int size = data.Length & ~3;
            fixed (byte* p = data)
            {
                Checksum256 expected = Fletcher.Fletcher4Scalar(p, size, default);
                return expected.Equals(Fletcher.Fletcher4Lanes4(p, size)) && expected.Equals(Fletcher.Fletcher4Lanes8(p, size));
            }
        }).QuickCheckThrowOnFailure();
        byte[] ones = new byte[131072];
        Array.Fill(ones, (byte)0xff);
        fixed (byte* p = ones)
        {
            Checksum256 expected = Fletcher.Fletcher4Scalar(p, ones.Length, default);
            Assert.Equal(expected, Fletcher.Fletcher4(p, ones.Length));
            Assert.Equal(0xffffffffUL * 32768, expected.W0);
        }
    }

    [Fact]
    public void Known_values()
    {
        // Words 1, 2, 3, 4: sums 10; 1+3+6+10; 1+4+10+20; 1+5+15+35.
        byte[] data = new byte[16];
        for (int i = 0; i < 4; i++)
        {
            data[i * 4] = (byte)(i + 1);
        }

        fixed (byte* p = data)
        {
            Assert.Equal(new Checksum256(10, 20, 35, 56), ZioChecksum.Compute(ZioChecksumType.Fletcher4, p, 16));
            ulong x = 1 | (2UL << 32), y = 3 | (4UL << 32);
            Assert.Equal(new Checksum256(x, y, x, y), ZioChecksum.Compute(ZioChecksumType.Fletcher2, p, 16));
        }

        byte[] abc = Encoding.ASCII.GetBytes("abc");
        fixed (byte* p = abc)
        {
            Assert.Equal(
                new Checksum256(0xba7816bf8f01cfea, 0x414140de5dae2223, 0xb00361a396177a9c, 0xb410ff61f20015ad),
                ZioChecksum.Compute(ZioChecksumType.Sha256, p, 3));
        }
    }

    [Theory]
    [InlineData(ZioChecksumType.Fletcher2)]
    [InlineData(ZioChecksumType.Fletcher4)]
    public void Big_endian_sums_are_those_of_the_swapped_words(ZioChecksumType type)
    {
        byte[] data = RandomBytes(4096, 7);
        byte[] swapped = (byte[])data.Clone();
        int width = type == ZioChecksumType.Fletcher2 ? 8 : 4;
        for (int i = 0; i < swapped.Length; i += width)
        {
            swapped.AsSpan(i, width).Reverse();
        }

        fixed (byte* p = data, q = swapped)
        {
            Assert.Equal(ZioChecksum.Compute(type, q, 4096), ZioChecksum.Compute(type, p, 4096, bigEndian: true));
        }
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Fletcher2_equals_the_definition(int size)
    {
        byte[] data = RandomBytes(size, size + 1);
        fixed (byte* p = data)
        {
            Assert.Equal(Fletcher.Fletcher2Scalar(p, size, false), Fletcher.Fletcher2(p, size));
        }
    }

    [Fact]
    public void Embedded_checksum_is_tied_to_its_place_and_leaves_the_area_as_it_was()
    {
        byte[] data = RandomBytes(1024, 3);
        fixed (byte* p = data)
        {
            ZioEck.Seal(p, 1024, ZioEck.LabelVerifier(0x20000));
            byte[] before = (byte[])data.Clone();
            Assert.True(ZioEck.Verify(p, 1024, ZioEck.LabelVerifier(0x20000)));
            Assert.False(ZioEck.Verify(p, 1024, ZioEck.LabelVerifier(0x20400)));
            Assert.Equal(before, data);
            data[500] ^= 1;
            Assert.False(ZioEck.Verify(p, 1024, ZioEck.LabelVerifier(0x20000)));
        }
    }

    [Fact]
    public void Checksums_allocate_nothing()
    {
        byte[] data = RandomBytes(131072, 5);
        fixed (byte* p = data)
        {
            foreach (ZioChecksumType type in (ZioChecksumType[])[ZioChecksumType.Fletcher2, ZioChecksumType.Fletcher4, ZioChecksumType.Sha256])
            {
                _ = ZioChecksum.Compute(type, p, data.Length);
                long before = GC.GetAllocatedBytesForCurrentThread();
                _ = ZioChecksum.Compute(type, p, data.Length);
                Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
            }
        }
    }

    private static byte[] RandomBytes(int size, int seed)
    {
        var data = new byte[size];
        new Random(seed).NextBytes(data);
        return data;
    }
}
