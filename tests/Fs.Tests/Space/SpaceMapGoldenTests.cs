using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>The space maps of pools that another implementation wrote.</summary>
[Trait("Backend", "os")]
public sealed class SpaceMapGoldenTests
{
    [GoldenFact("golda12")]
    public void All_maps_of_golda12_replay_to_their_totals() => CheckMaps("golda12");

    [GoldenFact("goldmini")]
    public void All_maps_of_goldmini_replay_to_their_totals() => CheckMaps("goldmini");

    [GoldenFact("goldd")]
    public void All_maps_of_goldd_replay_to_their_totals() => CheckMaps("goldd");

    [GoldenFact("golda")]
    public void All_maps_of_golda_replay_to_their_totals() => CheckMaps("golda");

    [GoldenFact("goldc")]
    public void All_maps_of_goldc_and_its_log_device_replay_to_their_totals() => CheckMaps("goldc");

    private static void CheckMaps(string pool)
    {
        using var kmem = new KmemScope(64 << 20);
        MemoryVdevIo[] images = GoldenPools.LoadAll(pool);
        Spa spa = Spa.Open(images, new SpaOpenOptions { ReadOnly = true });
        long allocated = 0;
        int maps = 0;
        foreach (MetaslabStat m in spa.Allocator.GetMetaslabStats())
        {
            Assert.Null(spa.Allocator.LoadForTest(m.Vdev, m.Index));
            allocated += spa.Vdevs.First(v => v.Id == m.Vdev).IsLog ? 0 : m.Allocated;
            maps += m.SpaceMapObject != 0 ? 1 : 0;
        }

        Assert.True(maps >= 3);
        Assert.All(spa.Allocator.GetMetaslabStats(), static m => Assert.True(m.IsLoaded));
        Assert.Equal(spa.Allocator.AllocatedBytes, allocated);
        spa.Close();
    }
}
