using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>
/// Which images of a crash are tried at a point: of the sectors at risk every combination if there are few, else the corners (all, each write whole
/// up to some place, one write missing, the last one torn) and a random choice. Only what the newest write took part in:
/// the others were there at an earlier point. Unless something was acknowledged since: then all of them count again.
/// </summary>
internal static class CrashChoices
{
    internal static List<int[]> Of(CrashImages images, SeededRandom random, bool again, int exhaustiveMax, int randomCount)
    {
        IReadOnlyList<CrashPlace> places = images.Places;
        if (places.Count == 0)
        {
            return [[]];
        }

        var chosen = new List<int[]>();
        var seen = new HashSet<ulong>();
        long all = 1;
        foreach (CrashPlace p in places)
        {
            all = Math.Min(all * (p.Versions.Count + 1), exhaustiveMax + 1L);
        }

        HashSet<CrashPlace> newest = [.. images.Newest];
        int write = images.Point - 1;
        void Add(int[] choice)
        {
            bool isNew = again || places.Select((p, i) => newest.Contains(p) && choice[i] > 0 && p.Versions[choice[i] - 1] == write).Any(static b => b);
            if (isNew && seen.Add(CrashHash.Of(System.Runtime.InteropServices.MemoryMarshal.AsBytes(choice.AsSpan()))))
            {
                chosen.Add(choice);
            }
        }

        if (all <= exhaustiveMax)
        {
            var choice = new int[places.Count];
            do
            {
                Add([.. choice]);
            }
            while (Next(choice, places));
            return chosen;
        }

        Corners(places, write, random, Add);
        for (int i = 0; i < randomCount; i++)
        {
            Add(Random(places, random));
        }

        return chosen;
    }

    private static bool Next(int[] choice, IReadOnlyList<CrashPlace> places)
    {
        for (int i = 0; i < choice.Length; i++)
        {
            if (++choice[i] <= places[i].Versions.Count)
            {
                return true;
            }

            choice[i] = 0;
        }

        return false;
    }

    private static void Corners(IReadOnlyList<CrashPlace> places, int write, SeededRandom random, Action<int[]> add)
    {
        int[] whole = [.. places.Select(static p => p.Versions.Count)];
        add(new int[places.Count]);
        add(whole);

        // The newest alone; all but one of the others; the newest torn behind everything before it.
        add([.. places.Select(p => p.Versions[^1] == write ? p.Versions.Count : 0)]);
        int[] writes = [.. places.SelectMany(static p => p.Versions).Distinct()];
        int missing = writes[random.Next(writes.Length)];
        add([.. places.Select(p => p.Versions[^1] == missing ? p.Versions.Count - 1 : p.Versions.Count)]);
        int[] torn = [.. whole];
        int kept = random.Next(places.Count);
        for (int i = kept; i < torn.Length; i++)
        {
            torn[i] -= places[i].Versions[^1] == write ? 1 : 0;
        }

        add(torn);
    }

    private static int[] Random(IReadOnlyList<CrashPlace> places, SeededRandom random)
    {
        var choice = new int[places.Count];
        int kind = random.Next(3);
        var fate = new Dictionary<int, bool>();
        int oneIn = 2 + random.Next(6);
        bool sparse = random.OneIn(2);
        for (int i = 0; i < choice.Length; i++)
        {
            List<int> versions = places[i].Versions;
            if (kind == 0)
            {
                // By sector, in any order.
                choice[i] = random.Next(versions.Count + 1);
                continue;
            }

            for (int v = versions.Count; v > 0 && choice[i] == 0; v--)
            {
                if (!fate.TryGetValue(versions[v - 1], out bool survives))
                {
                    fate.Add(versions[v - 1], survives = sparse == random.OneIn(oneIn));
                }

                // By write; kind 2: some of those torn.
                choice[i] = survives && !(kind == 2 && random.OneIn(4)) ? v : 0;
            }
        }

        return choice;
    }
}
