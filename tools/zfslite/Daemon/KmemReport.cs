using System.Globalization;
using ZfsLite.Fs;
using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>Gathers what <c>kmem</c> shows.</summary>
internal static class KmemReport
{
    internal static KmemInfo Make(Spa spa, Zfsvfs zfsvfs)
    {
        KmemStats stats = KmemStats.Snapshot();
        var info = new KmemInfo
        {
            Arena = stats.ArenaBytes,
            Free = stats.FreePages * KmemStats.PageSize,
            Min = (long)stats.Marks.Min * KmemStats.PageSize,
            Low = (long)stats.Marks.Low * KmemStats.PageSize,
            High = (long)stats.Marks.High * KmemStats.PageSize,
            Policy = KmemLimits.NameOf(stats.Policy),
            SlabEngine = KmemLimits.NameOf(stats.SlabEngine),
            SplSlabLimit = stats.SlabEngine == SlabEngineKind.Spl ? stats.SplSlabLimit : null,
            Pss = Pss(),
            Caches = [.. stats.Caches.Select(static c => new SlabRow
            {
                Cache = c.Name,
                Engine = KmemLimits.NameOf(c.Engine),
                ObjectSize = c.ObjectSize,
                Active = c.ObjectsAllocated,
                Objects = c.ObjectsTotal,
                SharesSlabsOf = c.SharesSlabsOf,
                Slabs = c.SlabsTotal,
                Bytes = c.Bytes,
                Allocations = c.Allocs,
                Failures = c.Failures,
            })],
            Mempools = [.. stats.Mempools.Select(static p => new MempoolRow
            {
                Mempool = p.Name,
                ElementSize = p.ElementBytes,
                Min = p.MinElements,
                Reserve = p.InReserve,
                Lowest = p.LowWater,
                Allocations = p.Allocs,
                FromReserve = p.FromReserve,
                Waits = p.Waits,
                WaitMs = p.WaitNs / 1_000_000,
            })],
        };
        Count(info.Counters, stats);
        foreach (ShrinkerStats shrinker in stats.Shrinkers)
        {
            info.Counters[$"shrinker_{shrinker.Name}_freed"] = shrinker.Freed;
            info.Counters[$"shrinker_{shrinker.Name}_scans"] = shrinker.Scans;
            info.Counters[$"shrinker_{shrinker.Name}_stops"] = shrinker.Stops;
        }

        Count(info.Counters, zfsvfs.Znodes.Stats);
        info.Counters["checksum_errors"] = spa.ChecksumErrors;
        return info;
    }

    private static void Count(SortedDictionary<string, long> counters, in ZnodeCacheStats znodes)
    {
        counters["znodes"] = znodes.InMemory;
        counters["znodes_unused"] = znodes.Unused;
        counters["znodes_evicted_clean"] = znodes.EvictedClean;
        counters["znodes_evicted_in_reclaim_with_tx"] = znodes.EvictedInReclaimWithTx;
        counters["znodes_inactive_queued"] = znodes.HandedToInactiveQueue;
        counters["znodes_inactive_waiting"] = znodes.InactiveQueued;
        counters["znodes_inactive_drained"] = znodes.InactiveDrained;
        counters["znodes_inactive_full"] = znodes.InactiveQueueFull;
    }

    private static void Count(SortedDictionary<string, long> counters, KmemStats stats)
    {
        counters["turned_away"] = stats.TurnedAway;
        counters["reserve_events"] = stats.ReserveEvents;
        counters["reserve_pages"] = stats.ReservePages;
        counters["lowest_free_pages"] = stats.LowestFreePages;
        counters["direct_reclaims"] = stats.DirectReclaims;
        counters["kswapd_wakes"] = stats.KswapdWakes;
        counters["pages_reclaimed"] = stats.PagesReclaimed;
        counters["objects_reclaimed"] = stats.ObjectsReclaimed;
        counters["torture_runs"] = stats.TortureRuns;
        counters["stalls"] = stats.Stalls;
        counters["stall_ms"] = stats.StallNs / 1_000_000;
        counters["failures"] = stats.Failures;
        counters["warnings"] = stats.Warnings;
        counters["large_allocs"] = stats.LargeAllocs;
        counters["vmalloc_mappings"] = stats.VmallocMappings;
        counters["large_bytes"] = stats.LargeBytes;
    }

    /// <summary>Resident memory of this process, shared pages in proportion; bytes, 0 if the kernel does not say.</summary>
    private static long Pss()
    {
        try
        {
            foreach (string line in File.ReadLines("/proc/self/smaps_rollup"))
            {
                if (line.StartsWith("Pss:", StringComparison.Ordinal))
                {
                    return long.Parse(line.AsSpan(4, line.Length - 6).Trim(), NumberStyles.None, CultureInfo.InvariantCulture) * 1024;
                }
            }
        }
        catch (IOException)
        {
            // A kernel without it.
        }

        return 0;
    }
}
