using System.Runtime.CompilerServices;
using Xunit;

namespace ZfsLite.Kmem.Tests;

/// <summary>What the letters of slab debugging find out, on both engines.</summary>
public sealed unsafe class SlabDebugTests
{
    private static readonly SlabEngineKind[] s_engines = [SlabEngineKind.Slubq, SlabEngineKind.Spl];

    /// <summary>Each engine with objects of a queue, of a page, and of many.</summary>
    public static TheoryData<string, int> Cases
    {
        get
        {
            var cases = new TheoryData<string, int>();
            foreach (SlabEngineKind engine in s_engines)
            {
                foreach (int size in new[] { 24, 60, 4096, 40_000 })
                {
                    cases.Add(engine.ToString(), size);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Watched_objects_are_aligned_and_hold_what_is_written(string engine, int size) => Run("FZPUL", engine, system =>
    {
        foreach (int align in new[] { 8, 64, 4096 })
        {
            KmemCache cache = KmemCache.Create($"watched-{align}", size, align);
            var model = new ObjectModel();
            for (int round = 0; round < 3; round++)
            {
                for (int i = 0; i < 20; i++)
                {
                    byte* obj = cache.Alloc(KmFlags.Sleep);
                    Assert.Equal(0ul, (ulong)obj % (ulong)align);
                    model.Add(obj, size);
                }

                while (model.Count > 0)
                {
                    cache.Free((byte*)model.Take(model.Count / 2).Address);
                }
            }

            cache.Destroy();
        }

        Assert.Empty(system.LiveAllocations());
    });

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_second_free_is_found_out(string engine, int size) => Run("F", engine, _ =>
    {
        KmemCache cache = KmemCache.Create("watched", size);
        byte* first = cache.Alloc(KmFlags.Sleep), second = cache.Alloc(KmFlags.Sleep);
        cache.Free(first);
        Fails("is freed twice", () => cache.Free(first));
        cache.Free(second);
        cache.Destroy();
    });

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_pointer_into_the_middle_and_one_of_another_cache_are_found_out(string engine, int size) => Run("F", engine, _ =>
    {
        KmemCache cache = KmemCache.Create("watched", size), other = KmemCache.Create("other", size);
        byte* obj = cache.Alloc(KmFlags.Sleep);
        Fails("is not the start of an object", () => cache.Free(obj + 8));
        Fails("which it is not from", () => other.Free(obj));
        cache.Free(obj);
        cache.Destroy();
        other.Destroy();
    });

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_byte_beyond_either_end_is_found_out_with_its_offset(string engine, int size) => Run("Z", engine, _ =>
    {
        // Another object keeps the slab mapped.
        KmemCache cache = KmemCache.Create("watched", size);
        byte* pin = cache.Alloc(KmFlags.Sleep);
        Assert.True(pin != null);
        foreach (int at in new[] { size, -1 })
        {
            byte* obj = cache.Alloc(KmFlags.Sleep);
            byte before = obj[at];
            obj[at] = 0x5a;
            Fails($"red zone overwritten at offset {at} while it was allocated: 0xcc is 5a", () => cache.Free(obj));
            obj[at] = before;
            cache.Free(obj);
            before = obj[at];
            obj[at] = 0x5a;
            Fails($"red zone overwritten at offset {at} while it was free: 0xbb is 5a", () => Drain(cache));
            obj[at] = before;
        }
    }, leaks: true);

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_write_after_the_free_is_found_out_with_its_offset(string engine, int size) => Run("P", engine, _ =>
    {
        KmemCache cache = KmemCache.Create("watched", size);
        byte* pin = cache.Alloc(KmFlags.Sleep);
        Assert.True(pin != null);
        byte* obj = cache.Alloc(KmFlags.Sleep);
        Assert.Equal(Poison.UninitPattern, *(uint*)obj);
        cache.Free(obj);
        Assert.Equal(Poison.FreePattern, *(uint*)(obj + 8));
        obj[9] = 1;
        Fails("written at offset 8 after it was freed: ef01adde", () => Drain(cache));
    }, leaks: true);

    [Fact]
    public void Reports_name_who_allocated_and_who_freed() => Run("FU", "Slubq", _ =>
    {
        KmemCache cache = KmemCache.Create("watched", 100);
        byte* obj = Take(cache);
        Give(cache, obj);
        string report = Fails("is freed twice", () => cache.Free(obj));
        Assert.Contains("ms ago by SlabDebugTests.Take (SlabDebugTests.cs:", report, StringComparison.Ordinal);
        Assert.Contains("ms ago by SlabDebugTests.Give (SlabDebugTests.cs:", report, StringComparison.Ordinal);
        obj = Take(cache);
        report = Fails("is destroyed with 1 live objects", cache.Destroy);
        Assert.DoesNotContain("SlabDebugTests.Give", report, StringComparison.Ordinal);
        Give(cache, obj);
        cache.Destroy();
    });

    [Theory]
    [InlineData("Spl")]
    public void A_cache_that_is_destroyed_too_early_names_who_allocated(string engine) => Run("U", engine, _ =>
    {
        KmemCache cache = KmemCache.Create("watched", 100_000);
        byte* obj = Take(cache);
        Assert.Contains("by SlabDebugTests.Take", Fails("is destroyed with 1 live objects", cache.Destroy), StringComparison.Ordinal);
        Give(cache, obj);
        cache.Destroy();
    });

    [Fact]
    public void Live_allocations_are_listed_by_cache_and_site() => Run("L,watched*,kmem_alloc-large;P,quiet", "Slubq", system =>
    {
        KmemCache cache = KmemCache.Create("watched1", 100), quiet = KmemCache.Create("quiet", 100);
        nint[] objects = [(nint)Take(cache), (nint)Take(cache), (nint)cache.Alloc(KmFlags.Sleep)];
        byte* other = quiet.Alloc(KmFlags.Sleep);
        byte* large = KmemAllocator.Alloc(50_000, KmFlags.Sleep);
        IReadOnlyList<KmemLeak> live = system.LiveAllocations();
        Assert.Equal([(SlabDebugSpec.LargeName, 1L, 50_000L), ("watched1", 2, 200), ("watched1", 1, 100)], live.Select(l => (l.Cache, l.Count, l.Bytes)));
        Assert.StartsWith("SlabDebugTests.Take (SlabDebugTests.cs:", live[1].Site, StringComparison.Ordinal);
        Assert.Contains("by SlabDebugTests.Take", system.DescribeLeaks(), StringComparison.Ordinal);
        Array.ForEach(objects, o => cache.Free((byte*)o));
        quiet.Free(other);
        KmemAllocator.Free(large, 50_000);
        Assert.Empty(system.LiveAllocations());
    });

    [Fact]
    public void Every_allocation_and_free_of_a_traced_cache_is_reported()
    {
        var lines = new List<string>();
        Run(
            "T,watched",
            "Slubq",
            _ =>
            {
                KmemCache cache = KmemCache.Create("watched", 100), quiet = KmemCache.Create("quiet", 100);
                byte* obj = Take(cache);
                Give(cache, obj);
                quiet.Free(quiet.Alloc(KmFlags.Sleep));
                Assert.Equal(2, lines.Count);
                Assert.Contains($"trace: cache watched: 0x{(ulong)obj:x} allocated by SlabDebugTests.Take", lines[0], StringComparison.Ordinal);
                Assert.Contains("freed by SlabDebugTests.Give", lines[1], StringComparison.Ordinal);
            },
            warn: lines.Add);
    }

    [Fact]
    public void A_watched_cache_is_not_merged_and_one_that_is_not_stays_free_of_charge() => Run("FZPUTL,watched", "Slubq", _ =>
    {
        KmemCache plain = KmemCache.Create("plain", 72), watched = KmemCache.Create("watched", 72), alias = KmemCache.Create("alias", 72);
        Assert.Same(plain.Engine, alias.Engine);
        Assert.NotSame(plain.Engine, watched.Engine);
        Assert.Equal(72, watched.Statistics().ObjectSize);
        Assert.Equal(72, ((SlubqEngine)plain.Engine).Stride);
        Assert.True(((SlubqEngine)watched.Engine).Stride > 72);
    }, merge: true);

    [Fact]
    public void The_largest_objects_do_without_what_needs_room() => Run("FZU", "Slubq", _ =>
    {
        KmemCache cache = KmemCache.Create("watched", 4 << 20);
        byte* obj = cache.Alloc(KmFlags.Sleep);
        obj[0] = obj[(4 << 20) - 1] = 1;
        cache.Free(obj);
        cache.Destroy();
    });

    [Theory]
    [InlineData("FZ", "any", "FZ")]
    [InlineData("", "any", "FZPU")]
    [InlineData("-", "any", "-")]
    [InlineData("fzputla", "any", "FZPUTLA")]
    [InlineData(",dnode_t", "dnode_t", "FZPU")]
    [InlineData(",dnode_t", "dnode", "-")]
    [InlineData("L,zio_buf_*;-,zio_buf_512", "zio_buf_4096", "L")]
    [InlineData("L,zio_buf_*;-,zio_buf_512", "zio_buf_512", "-")]
    [InlineData("FP;A,a*,b", "abc", "A")]
    [InlineData("FP;A,a*,b", "c", "FP")]
    public void The_specification_says_who_is_watched(string spec, string cache, string letters) =>
        Assert.Equal(letters, SlabDebugSpec.Letters(SlabDebugSpec.Parse(spec).For(cache)));

    [Theory]
    [InlineData("FX")]
    [InlineData("F,")]
    [InlineData("F,a,,b")]
    public void A_wrong_specification_is_refused(string spec) => Assert.Throws<FormatException>(() => SlabDebugSpec.Parse(spec));

    private static string Fails(string expected, Action action)
    {
        string message = Assert.Throws<InvalidOperationException>(action).Message;
        Assert.Contains(expected, message, StringComparison.Ordinal);
        return message;
    }

    /// <summary>Takes objects until the one that was freed last comes by again, whatever the order of the engine.</summary>
    private static void Drain(KmemCache cache)
    {
        for (int i = 0; i < 64; i++)
        {
            Assert.True(cache.Alloc(KmFlags.Sleep) != null);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static byte* Take(KmemCache cache) => cache.Alloc(KmFlags.Sleep);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Give(KmemCache cache, byte* obj) => cache.Free(obj);

    private static void Run(string spec, string engine, Action<KmemSystem> body, bool leaks = false, bool merge = false, Action<string>? warn = null) =>
        KmemWorld.Run(
            body,
            new KmemOptions
            {
                ArenaBytes = 32 * KmemWorld.MiB,
                LockArena = false,
                MergeCaches = merge,
                Warn = warn,
                SlabEngine = Enum.Parse<SlabEngineKind>(engine),
                SlabDebug = SlabDebugSpec.Parse(spec),
                Spl = new SplEngineOptions { SlabLimit = 0 },
            },
            checkLeaks: !leaks);
}
