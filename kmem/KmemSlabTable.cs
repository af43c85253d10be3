using System.Globalization;
using System.Text;

namespace ZfsLite.Kmem;

/// <summary>
/// The slab table in the columns of /proc/spl/kmem/slab, which scripts take apart: two lines of headers, then a line per cache,
/// with "-" where nothing is known.
/// </summary>
public static class KmemSlabTable
{
    private const string Groups =
        "--------------------- cache -------------------------------------------------------  ----- slab ------  ---- object -----  --- emergency ---\n";

    private const string Columns =
        "name                                    flags      size     alloc slabsize  objsize  total alloc   max  total alloc   max  dlock alloc   max\n";

    /// <summary>The lines of all caches, sorted by name.</summary>
    public static IReadOnlyList<KmemSlabLine> Lines(KmemStats stats)
    {
        ArgumentNullException.ThrowIfNull(stats);
        return [.. stats.Caches.Select(KmemSlabLine.Of).OrderBy(static l => l.Cache, StringComparer.Ordinal)];
    }

    /// <summary>The table as text.</summary>
    public static string Format(IEnumerable<KmemSlabLine> lines)
    {
        ArgumentNullException.ThrowIfNull(lines);
        StringBuilder text = new StringBuilder(Groups).Append(Columns);
        foreach (KmemSlabLine l in lines)
        {
            _ = text.Append(
                CultureInfo.InvariantCulture,
                $"{l.Cache,-36}  0x{l.Flags:x5} {T(l.Size),9} {l.Alloc,9} {T(l.SlabSize),8} {l.ObjectSize,8}  "
                + $"{T(l.SlabTotal),5} {T(l.SlabAlloc),5} {T(l.SlabMax),5}  {T(l.ObjectTotal),5} {l.ObjectAlloc,5} {T(l.ObjectMax),5}  "
                + $"{T(l.EmergencyDeadlock),5} {T(l.EmergencyAlloc),5} {T(l.EmergencyMax),5}\n");
        }

        return text.ToString();
    }

    private static string T(long? value) => value?.ToString(CultureInfo.InvariantCulture) ?? "-";
}
