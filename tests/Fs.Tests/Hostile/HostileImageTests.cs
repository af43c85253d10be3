using Xunit;
using ZfsLite.TestKit;
using ZfsLite.Torture;

namespace ZfsLite.Fs.Tests;

/// <summary>
/// A sample of what ./fuse-test.sh torture images does at length: seeded changes to small pools, most of them under checksums that are
/// right again, and then whatever can be done to a pool. Errors are right answers; exceptions, hangs, what is left in memory, and a pool that
/// check finds worse than before, are not.
/// </summary>
public sealed class HostileImageTests
{
    private const int OsTimeoutMs = 20_000;

    private static readonly string s_golden = Path.GetDirectoryName(GoldenPools.Folder("goldmini"))!;

    private static int Images => Backends.IsSim ? 400 : 150;

    public HostileImageTests() => new KmemScope().Dispose();

    [Theory]
    [InlineData(ImagePools.Own)]
    [InlineData(ImagePools.OwnLog)]
    [InlineData(ImagePools.OwnLogDevice)]
    [InlineData("goldmini")]
    [InlineData("golda12")]
    [InlineData("goldd")]
    public void Hostile_images_give_errors_and_no_more(string pool)
    {
        ImageMap map = Map(pool);
        var counts = new ImageCounts();
        for (ulong seed = 1; seed <= (ulong)Images; seed++)
        {
            Try(map, seed, counts);
        }

        // Most images must get past the checksums, or little is tried.
        Assert.Equal(Images, counts[ImageCount.Images]);
        Assert.InRange(counts[ImageCount.Opened], Images / 2, Images - 1);
        Assert.InRange(counts[ImageCount.Mounted], Images / 4, long.MaxValue);
        Assert.InRange(counts[ImageCount.Found], Images / 4, Images - 1);
        Assert.InRange(counts[ImageCount.Suspended], 1, Images / 3);
        Assert.InRange(counts[ImageCount.Errors], Images, counts[ImageCount.Calls] - Images);
    }

    /// <summary>Each of them broke something once. First those that the log did: a log that ended elsewhere at its replay than when it was claimed, or
    /// shared its blocks; names and modes of extended attributes that can't be. Then what check had not seen before the pool was used, and did after it.</summary>
    [Theory]
    [InlineData(ImagePools.OwnLog, 20)]
    [InlineData(ImagePools.OwnLog, 231)]
    [InlineData(ImagePools.OwnLog, 396)]
    [InlineData(ImagePools.OwnLogDevice, 827)]
    [InlineData("golda12", 101)]
    [InlineData("goldd", 33)]
    [InlineData("goldd", 10213)]
    [InlineData("goldd", 11499)]
    [InlineData("goldd", 593)]
    [InlineData("goldd", 12029)]
    [InlineData("goldd", 12964)]
    [InlineData("goldd", 14225)]
    [InlineData("goldd", 32348)]
    [InlineData(ImagePools.OwnLogDevice, 31614)]
    [InlineData(ImagePools.Own, 31775)]
    [InlineData(ImagePools.Own, 33154)]
    public void Seeds_that_once_found_a_fault_find_none(string pool, ulong seed)
    {
        var counts = new ImageCounts();
        Try(Map(pool), seed, counts);
        Assert.Equal(1, counts[ImageCount.Images]);
    }

    [Fact]
    public void A_seed_makes_the_same_image_again()
    {
        ImageMap map = Map("goldmini");
        for (ulong seed = 1; seed <= 3; seed++)
        {
            byte[] one = Bytes(map, seed, out string story), two = Bytes(map, seed, out string again);
            Assert.Equal(story, again);
            Assert.True(one.AsSpan().SequenceEqual(two), story);
            Assert.False(one.AsSpan().SequenceEqual(Bytes(map, seed + 100, out _)), story);
        }
    }

    private static byte[] Bytes(ImageMap map, ulong seed, out string story)
    {
        using var memory = new KmemScope();
        (MemoryVdevIo[] disks, story) = ImageMutator.Make(map, seed);
        using var bytes = new MemoryStream();
        disks[0].Save(bytes);
        return bytes.ToArray();
    }

    private static ImageMap Map(string pool)
    {
        ImageMap? map = null;
        Backends.Run(() => map = ImageTrial.Map(pool, s_golden), seeds: 1, new Kmem.Spl.SimOptions { MaxSteps = ImageTrial.StepsMax });
        return map!;
    }

    private static void Try(ImageMap map, ulong seed, ImageCounts counts)
    {
        if (Backends.IsSim)
        {
            Assert.Null(ImageTrial.Simulate(map, seed, counts));
        }
        else
        {
            Backends.Run(() => ImageTrial.Run(map, seed, counts), timeoutMs: OsTimeoutMs);
        }
    }
}
