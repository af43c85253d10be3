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
}
