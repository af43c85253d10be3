using Xunit;
using ZfsLite.Kmem;

namespace ZfsLite.Fs.Tests;

/// <summary>Vdevs in memory with an allocator and a pipeline, no pool.</summary>
internal sealed unsafe class Rig : IDisposable
{
    internal Rig(int devices, int ashift, long size = 64 << 20, int workers = 2, bool failing = false)
    {
        Vdevs = SpaAllocatorTests.MakeVdevs(devices, ashift, size);
        if (failing)
        {
            Vdev v = Vdevs[0];
            Vdevs[0] = new Vdev
            {
                Id = v.Id,
                Guid = v.Guid,
                Ashift = v.Ashift,
                Asize = v.Asize,
                MetaslabShift = v.MetaslabShift,
                Io = new MemoryVdevIo(size, readOnly: true),
            };
        }

        Allocator = new SpaAllocator(Vdevs);
        Allocator.OpenEmpty();
        Pipeline = new ZioPipeline(Allocator, Vdevs, workers);
    }

    internal Vdev[] Vdevs { get; }

    internal SpaAllocator Allocator { get; }

    internal ZioPipeline Pipeline { get; }

    internal void Write(ZioWrite w)
    {
        Pipeline.Submit(w);
        Assert.Equal(0, Pipeline.WaitAll());
    }

    internal void AssertReads(ZioWrite w)
    {
        byte* back = ZioBuf.Alloc(w.LogicalSize, KmFlags.Sleep);
        for (int c = 0; c < w.Bp.DvaCount; c++)
        {
            Assert.Equal(0, ZioReader.ReadCopy(Vdevs, w.Bp, c, back));
            Assert.True(new ReadOnlySpan<byte>(w.Data, w.LogicalSize).SequenceEqual(new ReadOnlySpan<byte>(back, w.LogicalSize)));
        }

        ZioBuf.Free(back, w.LogicalSize);
    }

    public void Dispose()
    {
        Pipeline.Dispose();
        Allocator.Dispose();
        foreach (Vdev v in Vdevs)
        {
            v.Io.Dispose();
        }
    }
}
