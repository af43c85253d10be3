using Xunit;
using ZfsLite.Fs;

namespace Fs.Tests.OnDisk;

/// <summary>Disks that share their contents, and the images of crashes made from a log of writes.</summary>
public sealed unsafe class CrashImagesTests
{
    private const int Sector = CrashImages.SectorSize;

    [Fact]
    public void ACopyAndItsOriginalGoTheirOwnWays()
    {
        var first = new MemoryVdevIo(1 << 20);
        Write(first, 0, 1, 3 * Sector);
        MemoryVdevIo second = first.Clone();
        MemoryVdevIo third = second.Clone();
        Write(first, Sector, 2, Sector);
        Write(second, Sector, 3, Sector);
        Write(second, 1 << 19, 4, Sector);
        third.Discard(0, 1 << 19);
        Write(third, 2 * Sector, 5, Sector);
        Assert.Equal([1, 2, 1, 0], Read(first));
        Assert.Equal([1, 3, 1, 4], Read(second));
        Assert.Equal([0, 0, 5, 0], Read(third));
        Write(second.Clone(), 0, 9, Sector);
        Assert.Equal([1, 3, 1, 4], Read(second));

        static byte[] Read(MemoryVdevIo disk) => [At(disk, 0), At(disk, Sector), At(disk, 2 * Sector), At(disk, 1 << 19)];
    }

    [Fact]
    public void WhatIsWrittenThroughStaysAndSaysNothingOfTheRest()
    {
        var log = new DiskLog();
        RecordingVdevIo disk = log.Record(new MemoryVdevIo(1 << 20));
        Write(disk, 0, 1, 3 * Sector);
        WriteThrough(disk, Sector, 2, Sector);
        var images = new CrashImages(log);
        Assert.True(images.Advance() && images.Advance());
        Assert.Equal([1, 2, 1], images.Places.Select(static p => p.Versions.Count));
        Assert.True(images.Advance());
        Assert.Equal([0L, 2L], images.Places.Select(static p => p.Sector));
        Assert.Equal([0, 2, 0], Make(images, [0, 0]));
        Assert.Equal([1, 2, 1], Make(images, [1, 1]));
        Assert.False(images.Advance());
    }

    [Fact]
    public void WhatWasFlushedStaysAndTheRestIsThereSectorBySector()
    {
        var start = new MemoryVdevIo(1 << 20);
        Write(start, 0, 1, 2 * Sector);
        var log = new DiskLog();
        RecordingVdevIo disk = log.Record(start);
        Write(disk, 0, 2, 2 * Sector);
        Assert.Equal(0, disk.Flush());
        Write(disk, Sector, 3, 2 * Sector);
        Write(disk, Sector, 4, Sector);
        Assert.Equal(4, log.Count);
        Assert.Equal(1, At(start, 0));

        var images = new CrashImages(log);
        Assert.True(images.Advance());
        Assert.Equal([(0L, 1), (1L, 1)], images.Places.Select(static p => (p.Sector, p.Versions.Count)));
        Assert.Equal([1, 2, 0], Make(images, [0, 1]));
        Assert.Equal([2, 1, 0], Make(images, [1, 0]));
        Assert.True(images.Advance());
        Assert.Empty(images.Places);
        Assert.Equal([2, 2, 0], Make(images, []));
        Assert.True(images.Advance() && images.Advance());
        Assert.Equal([(1L, 2), (2L, 1)], images.Places.Select(static p => (p.Sector, p.Versions.Count)));
        Assert.Equal([1L], images.Newest.Select(static p => p.Sector));
        Assert.Equal([2, 2, 0], Make(images, [0, 0]));
        Assert.Equal([2, 3, 0], Make(images, [1, 0]));
        Assert.Equal([2, 4, 3], Make(images, [2, 1]));
        Assert.False(images.Advance());
        Assert.Equal(4, images.Point);
    }

    [Fact]
    public void AFlushOfOneDiskIsNoneOfTheOther()
    {
        var log = new DiskLog();
        RecordingVdevIo a = log.Record(new MemoryVdevIo(1 << 20));
        RecordingVdevIo b = log.Record(new MemoryVdevIo(1 << 20));
        Write(a, 0, 1, Sector);
        Write(b, 0, 2, Sector);
        Assert.Equal(0, a.Flush());
        var images = new CrashImages(log);
        while (images.Advance())
        {
        }

        Assert.Equal([1], images.Places.Select(static p => p.Disk));
        MemoryVdevIo[] none = images.Make([0]);
        Assert.Equal((1, 0), (At(none[0], 0), At(none[1], 0)));
        Assert.Equal(2, At(images.Make([1])[1], 0));
    }

    [Fact]
    public void ADiskThatLiesAboutFlushesLosesWhatItFlushed()
    {
        var log = new DiskLog();
        RecordingVdevIo disk = log.Record(new MemoryVdevIo(1 << 20));
        Write(disk, 0, 1, Sector);
        Assert.Equal(0, disk.Flush());
        var images = new CrashImages(log) { LiesAboutFlush = true };
        Assert.True(images.Advance() && images.Advance());
        Assert.Equal(0, At(images.Make([0])[0], 0));
    }

    private static byte[] Make(CrashImages images, int[] versions)
    {
        MemoryVdevIo disk = images.Make(versions)[0];
        return [At(disk, 0), At(disk, Sector), At(disk, 2 * Sector)];
    }

    private static void WriteThrough(IVdevIo disk, long offset, byte value, int length)
    {
        var data = new byte[length];
        Array.Fill(data, value);
        fixed (byte* p = data)
        {
            ReadOnlySpan<IoSegment> one = [new IoSegment((nint)p, length)];
            Assert.Equal(0, disk.WriteThrough(offset, one));
        }
    }

    private static void Write(IVdevIo disk, long offset, byte value, int length)
    {
        var data = new byte[length];
        data.AsSpan().Fill(value);
        fixed (byte* p = data)
        {
            ReadOnlySpan<IoSegment> parts = [new IoSegment((nint)p, length / 2), new IoSegment((nint)p, length - (length / 2))];
            Assert.Equal(0, disk.Write(offset, parts));
        }
    }

    private static byte At(IVdevIo disk, long offset)
    {
        byte value;
        Assert.Equal(0, disk.Read(offset, &value, 1));
        return value;
    }
}
