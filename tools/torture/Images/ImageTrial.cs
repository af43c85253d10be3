using ZfsLite.Fs;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <summary>
/// One hostile image: a clean pool and a seed say everything about it. The body of a simulated run, or of a thread. It has an arena of
/// its own, of which nothing may be left at the end, unless the pool had to suspend.
/// </summary>
internal static class ImageTrial
{
    internal const long StepsMax = 20_000_000;
    private const long ArenaBytes = 32L << 20;
    private const ulong ReadOnlyOneIn = 8;
    private const long HeapBytesMax = 256L << 20;

    /// <summary>Reads a clean pool. As <see cref="Run"/>, it is to be called in a thread of its own.</summary>
    internal static ImageMap Map(string pool, string golden)
    {
        _ = KmemSystem.Init(new KmemOptions { ArenaBytes = ArenaBytes, LockArena = false });
        try
        {
            return new ImageMap(pool, ImagePools.Load(pool, golden));
        }
        finally
        {
            KmemSystem.Shutdown();
        }
    }

    /// <summary>Runs one in the simulator. What went wrong, or null.</summary>
    internal static string? Simulate(ImageMap map, ulong seed, ImageCounts counts)
    {
        LockOrder.Reset();
        long heap = GC.GetTotalAllocatedBytes();
        SimResult result = SimWorld.Run(new SimOptions { Seed = seed, MaxSteps = StepsMax, RecordStacks = false, SwitchProbability = 0.05 }, () => Run(map, seed, counts));
        if (result.Outcome != SimOutcome.Completed)
        {
            return $"{result.Outcome}: {result.Failure?.Message ?? $"pool {map.Name}, seed {seed}"}\n{result}";
        }

        string? wrong = result.Leftover.Count > 0 ? $"threads are left: {string.Join(", ", result.Leftover)}"
            : LockOrder.Violations is [{ } violation, ..] ? violation.Text
            : GC.GetTotalAllocatedBytes() - heap is var taken and > HeapBytesMax ? $"{taken >> 20} MiB were taken from the managed heap"
            : null;
        return wrong is null ? null : $"pool {map.Name}, seed {seed}: {wrong}\n{result}";
    }

    /// <summary>Makes the image of a seed and uses it. What goes wrong comes out as an exception that tells what was done to it.</summary>
    internal static void Run(ImageMap map, ulong seed, ImageCounts counts)
    {
        KmemSystem memory = KmemSystem.Init(new KmemOptions { ArenaBytes = ArenaBytes, Poison = true, LockArena = false });
        string story = "it could not be made";
        try
        {
            (MemoryVdevIo[] disks, story) = ImageMutator.Make(map, seed);
            bool readOnly = seed % ReadOnlyOneIn == 0;
            long writes = disks.Sum(static d => d.Writes);
            var exercise = new ImageExercise(counts);
            bool wasClean = exercise.Offline(disks);
            exercise.Online(disks, readOnly);
            if (exercise.Suspended is null && memory.DescribeLeaks() is { } leaks)
            {
                throw new InvalidOperationException($"left allocated: {leaks}");
            }

            if (readOnly && disks.Sum(static d => d.Writes) != writes)
            {
                throw new InvalidOperationException("a pool that was opened for reading only was written to");
            }

            if (wasClean && (exercise.Suspended ?? ImageExercise.Check(disks)) is { } finding)
            {
                throw new InvalidOperationException($"it was clean to check before it was used, and is not after it: {finding}");
            }

            counts[ImageCount.Images]++;
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"pool {map.Name}, seed {seed}: {story}\n{e}", e);
        }
        finally
        {
            KmemSystem.Shutdown();
        }
    }
}
