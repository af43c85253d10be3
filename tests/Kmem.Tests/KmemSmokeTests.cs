using Xunit;

namespace ZfsLite.Kmem.Tests;

public sealed unsafe class KmemSmokeTests
{
    [Fact]
    public void Every_size_can_be_allocated_written_and_freed_and_the_arena_is_whole_again()
    {
        KmemSystem system = KmemSystem.Init(new KmemOptions { ArenaBytes = 16 << 20, Poison = true });
        try
        {
            for (long size = 1; size <= 6 << 20; size = (size * 3 / 2) + 1)
            {
                byte* p = KmemAllocator.Zalloc(size, KmFlags.Sleep);
                for (long i = 0; i < size; i++)
                {
                    Assert.Equal(0, p[i]);
                    p[i] = (byte)i;
                }

                KmemAllocator.Free(p, size);
            }

            system.Caches.Reap();
            Assert.Equal(system.Mapping.ArenaPages, system.Pages.FreePages);
        }
        finally
        {
            KmemSystem.Shutdown();
        }
    }
}
