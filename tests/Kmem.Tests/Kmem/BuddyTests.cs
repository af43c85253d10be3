using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace ZfsLite.Kmem.Tests;

public sealed class BuddyTests
{
    private const int Pages = 1 << 11;

    [Fact]
    public void Blocks_never_overlap_and_merge_to_the_whole_once_all_are_free() =>
        Prop.ForAll<int[]>(ops => RunModel(ops, Pages)).QuickCheckThrowOnFailure();

    [Fact]
    public void A_range_that_is_no_power_of_two_is_used_whole()
    {
        const int odd = 1000;
        var buddy = new BuddyAllocator(new PageDesc[odd], 0, odd, 10);
        Assert.Equal(odd, buddy.FreePages);
        var got = new HashSet<int>();
        for (int i = 0; i < odd; i++)
        {
            int page = buddy.Alloc(1);
            Assert.InRange(page, 0, odd - 1);
            Assert.True(got.Add(page));
        }

        Assert.Equal(-1, buddy.Alloc(1));
    }

    [Fact]
    public void A_block_is_aligned_to_its_power_of_two_and_the_surplus_goes_back()
    {
        var buddy = new BuddyAllocator(new PageDesc[Pages], 0, Pages, 10);
        _ = buddy.Alloc(1);
        int page = buddy.Alloc(33);
        Assert.Equal(0, page % 64);
        Assert.Equal(Pages - 34, buddy.FreePages);
        int tail = buddy.Alloc(16);
        Assert.True(tail >= 0);
        buddy.Free(page, 33);
        buddy.Free(tail, 16);
        buddy.Free(0, 1);
        Assert.Equal(Pages >> 10, buddy.Blocks(10));
    }

    [Fact]
    public void A_second_free_of_a_page_is_found_out()
    {
        var buddy = new BuddyAllocator(new PageDesc[Pages], 0, Pages, 10);
        int page = buddy.Alloc(1);
        buddy.Free(page, 1);
        _ = Assert.Throws<InvalidOperationException>(() => buddy.Free(0, 1));
        _ = Assert.Throws<InvalidOperationException>(() => buddy.Free(Pages - 1, 2));
    }

    private static bool RunModel(int[] ops, int pages)
    {
        var buddy = new BuddyAllocator(new PageDesc[pages], 0, pages, 10);
        var owner = new int[pages];
        var live = new List<(int Page, int Count, int Id)>();
        int free = pages;
        int id = 0;
        foreach (int op in ops.SelectMany(static o => (int[])[o, o * 7, o * 31, -o]))
        {
            if (op >= 0 || live.Count == 0)
            {
                int count = 1 + (int)((uint)op % 97);
                int page = buddy.Alloc(count);
                if (page < 0)
                {
                    continue;
                }

                id++;
                for (int i = page; i < page + count; i++)
                {
                    if (owner[i] != 0)
                    {
                        return false;
                    }

                    owner[i] = id;
                }

                live.Add((page, count, id));
                free -= count;
            }
            else
            {
                int at = (int)((uint)op % live.Count);
                Release(live[at]);
                live.RemoveAt(at);
            }

            if (buddy.FreePages != free)
            {
                return false;
            }
        }

        live.ForEach(Release);
        return buddy.FreePages == pages && buddy.Blocks(10) == pages >> 10;

        void Release((int Page, int Count, int Id) block)
        {
            for (int i = block.Page; i < block.Page + block.Count; i++)
            {
                owner[i] = owner[i] == block.Id ? 0 : throw new InvalidOperationException("overlap");
            }

            // A range may also be given back in two pieces.
            int half = block.Id % 2 == 0 ? block.Count / 2 : 0;
            if (half > 0)
            {
                buddy.Free(block.Page, half);
            }

            buddy.Free(block.Page + half, block.Count - half);
            free += block.Count;
        }
    }
}
