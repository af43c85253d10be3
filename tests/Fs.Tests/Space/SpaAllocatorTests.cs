using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

public sealed class SpaAllocatorTests : IDisposable
{
    private readonly KmemScope _kmem = new(64 << 20);

    public void Dispose() => _kmem.Dispose();

    internal static Vdev[] MakeVdevs(int count, int ashift, long size = 64 << 20, int logs = 0)
    {
        var vdevs = new Vdev[count];
        for (int i = 0; i < count; i++)
        {
            ulong asize = Vdev.AsizeFor(size);
            vdevs[i] = new Vdev
            {
                Id = (uint)i,
                Guid = (ulong)i + 1,
                Ashift = ashift,
                Asize = asize,
                MetaslabShift = Vdev.MetaslabShiftFor(asize),
                IsLog = i >= count - logs,
                Io = new MemoryVdevIo(size),
            };
        }

        return vdevs;
    }

    [Fact]
    public void Copies_on_one_vdev_lie_an_eighth_of_it_apart()
    {
        Vdev[] vdevs = MakeVdevs(1, 9);
        using SpaAllocator a = Open(vdevs);
        var dvas = new Dva[3];
        for (int i = 0; i < 1000; i++)
        {
            Assert.True(a.TryAllocate(512 * ((i % 20) + 1), 3, 5, dvas));
            for (int j = 0; j < 3; j++)
            {
                for (int k = 0; k < j; k++)
                {
                    Assert.True(Math.Abs((long)dvas[j].Offset - (long)dvas[k].Offset) >= (long)(vdevs[0].Asize / 8), $"{dvas[j]} {dvas[k]}");
                }
            }
        }
    }

    [Fact]
    public void Copies_go_to_different_vdevs_and_all_vdevs_are_used_evenly()
    {
        Vdev[] vdevs = MakeVdevs(4, 9, logs: 1);
        using SpaAllocator a = Open(vdevs);
        var dvas = new Dva[2];
        long[] bytes = new long[4];
        for (int i = 0; i < 600; i++)
        {
            Assert.True(a.TryAllocate(32768, 2, 5, dvas));
            Assert.NotEqual(dvas[0].Vdev, dvas[1].Vdev);
            bytes[dvas[0].Vdev] += 32768;
            bytes[dvas[1].Vdev] += 32768;
        }

        Assert.Equal(0, bytes[3]);
        Assert.All(bytes[..3], b => Assert.InRange(b, 11_000_000, 15_000_000));
        Assert.True(a.TryAllocate(4096, 1, 5, dvas, log: true));
        Assert.Equal(3U, dvas[0].Vdev);
    }

    [Fact]
    public void Blocks_written_one_after_the_other_lie_one_after_the_other()
    {
        using SpaAllocator a = Open(MakeVdevs(1, 12));
        var dva = new Dva[1];
        ulong expected = 0;
        int jumps = 0;
        for (int i = 0; i < 300; i++)
        {
            Assert.True(a.TryAllocate(131072, 1, 5, dva));
            jumps += dva[0].Offset != expected ? 1 : 0;
            expected = dva[0].Offset + dva[0].Asize;
        }

        Assert.InRange(jumps, 0, 1);
    }

    [Theory]
    [InlineData(9, 1)]
    [InlineData(12, 3)]
    public void A_pool_fills_to_the_last_unit_and_gives_all_of_it_back(int ashift, int copies)
    {
        Vdev[] vdevs = MakeVdevs(1, ashift);
        using SpaAllocator a = Open(vdevs);
        var blocks = new List<Blkptr>();
        var seen = new HashSet<(uint, ulong)>();
        var random = new Random(ashift);
        var dvas = new Dva[3];
        foreach (int max in (int[])[131072, 16384, 512])
        {
            while (true)
            {
                int size = max == 512 ? 512 : random.Next(1, (max / 512) + 1) * 512;
                if (!a.TryAllocate(size, copies, 5, dvas))
                {
                    break;
                }

                for (int i = 0; i < copies; i++)
                {
                    for (ulong at = dvas[i].Offset; at < dvas[i].Offset + dvas[i].Asize; at += 1UL << ashift)
                    {
                        Assert.True(seen.Add((dvas[i].Vdev, at)), $"{dvas[i]} was handed out twice");
                    }
                }

                blocks.Add(new Blkptr { Dva0 = dvas[0], Dva1 = copies > 1 ? dvas[1] : default, Dva2 = copies > 2 ? dvas[2] : default, Birth = 5 });
            }
        }

        long total = a.TotalBytes;
        Assert.Equal((long)vdevs[0].MetaslabCount << vdevs[0].MetaslabShift, total);
        Assert.InRange(total - a.AllocatedBytes, 0, (copies - 1) << ashift);
        Assert.Equal((long)seen.Count << ashift, a.AllocatedBytes);
        foreach (Blkptr bp in blocks)
        {
            a.Free(bp, 6);
        }

        Assert.Equal(0, a.AllocatedBytes);
        Assert.Equal((long)seen.Count << ashift, a.DeferredBytes);
    }

    [Fact]
    public void Space_freed_where_no_block_can_be_is_corruption()
    {
        using SpaAllocator a = Open(MakeVdevs(1, 12));
        ulong end = (ulong)a.TotalBytes;
        foreach (Dva bad in (Dva[])
            [Dva.Create(1, 0, 4096), Dva.Create(0, 512, 4096), Dva.Create(0, 0, 512), Dva.Create(0, end, 4096), Dva.Create(0, (512 << 10) - 4096, 8192),
                Dva.Create(uint.MaxValue, 0, 4096), Dva.Create(0, 1UL << 60, 4096), Dva.Create(0, 0, 4096)])
        {
            Assert.Equal(Errno.ECKSUM, Assert.Throws<ZfsException>(() => a.Free(new Blkptr { Dva0 = bad, Birth = 4 }, 5)).Errno);
        }
    }

    [Fact]
    public void Freeing_a_gang_block_frees_its_header_and_its_members()
    {
        using SpaAllocator a = Open(MakeVdevs(1, 9));
        var dva = new Dva[1];
        var members = new Blkptr[3];
        for (int i = 0; i < 3; i++)
        {
            Assert.True(a.TryAllocate(1024, 1, 5, dva));
            members[i] = new Blkptr { Dva0 = dva[0], Birth = 5, PhysicalSize = 1024 };
        }

        Assert.True(a.TryAllocate(512, 1, 5, dva));
        var gang = new Blkptr { Dva0 = Dva.Create(0, dva[0].Offset, 512 + 3072, gang: true), Birth = 5, PhysicalSize = 3072 };
        a.ReadGangHeader = (in Blkptr _, Span<Blkptr> children) => members.CopyTo(children);
        Assert.Equal(3584, a.AllocatedBytes);
        a.Free(gang, 5);
        Assert.Equal(0, a.AllocatedBytes);
        Assert.Equal(3584, a.DeferredBytes);
        a.ReadGangHeader = (in Blkptr bp, Span<Blkptr> children) => children[0] = bp;
        Assert.Equal(Errno.ECKSUM, Assert.Throws<ZfsException>(() => a.Free(gang, 5)).Errno);
    }

    [Fact]
    public void A_refused_allocation_takes_nothing()
    {
        using SpaAllocator a = Open(MakeVdevs(1, 9));
        var dvas = new Dva[3];
        while (a.TryAllocate(131072, 1, 5, dvas))
        {
        }

        long before = a.AllocatedBytes;
        Assert.True(a.TotalBytes - before < 131072 * 3 || !a.TryAllocate(131072, 3, 5, dvas));
        Assert.Equal(before, a.AllocatedBytes);
    }

    private static SpaAllocator Open(Vdev[] vdevs)
    {
        var a = new SpaAllocator(vdevs);
        a.OpenEmpty();
        return a;
    }
}
