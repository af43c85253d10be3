namespace ZfsLite.Fs;

/// <summary>Replays the records of a space map.</summary>
internal static class SpaceMapReplay
{
    /// <summary>Applies records to a bitmap, in order. Throws ZfsException (ECKSUM) on a record outside the metaslab, an
    /// allocation of an allocated unit or a free of a free one.</summary>
    internal static void Apply(ReadOnlySpan<ulong> entries, MetaslabBitmap bitmap)
    {
        foreach (ulong entry in entries)
        {
            if (SpaceMapPhys.IsDebug(entry))
            {
                continue;
            }

            long start = (long)SpaceMapPhys.OffsetOf(entry);
            int run = SpaceMapPhys.RunOf(entry);
            bool free = !SpaceMapPhys.IsAlloc(entry);
            bool fits = start <= bitmap.Units - run;
            if (!fits || !(free ? bitmap.TryClear(start, run) : bitmap.TrySet(start, run)))
            {
                string what = !fits ? "lies outside the metaslab" : free ? "frees free space" : "allocates allocated space";
                throw new ZfsException(Errno.ECKSUM, $"space map record {entry:x16} {what}");
            }
        }
    }
}
