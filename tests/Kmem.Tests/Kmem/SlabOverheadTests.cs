using Xunit;

namespace ZfsLite.Kmem.Tests;

public sealed class SlabOverheadTests
{
    [Fact]
    public void A_full_slab_takes_at_most_an_eighth_more_than_its_objects_for_every_size_from_64_bytes_to_128_KiB()
    {
        for (int size = 64; size <= 131072; size++)
        {
            var geometry = new SlabGeometry(size, 8);
            long objects = geometry.ObjectsIn(geometry.Pages);
            long bytes = geometry.Pages * 4096L;
            Assert.True(objects > 0 && bytes * 8 <= objects * size * 9, $"{size}: {objects} objects in {bytes} bytes");
        }
    }

    [Theory]
    [InlineData(16L << 20)]
    [InlineData(256L << 20)]
    public void So_does_one_of_the_SPL_engine_from_1_KiB_headers_included(long arenaBytes)
    {
        var options = new SplEngineOptions();
        for (int size = 1024; size <= 131072; size++)
        {
            var geometry = new SplEngineGeometry("overhead", size, 8, KmemCacheFlags.None, options, arenaBytes);
            long bytes = geometry.Pages * 4096L;
            Assert.True(
                geometry.Objects > 0 && bytes * 8 <= (long)geometry.Objects * size * 9 && geometry.FirstObject + ((long)geometry.Objects * geometry.ObjectBytes) <= bytes,
                $"{size}: {geometry.Objects} objects in {bytes} bytes");
        }
    }
}
