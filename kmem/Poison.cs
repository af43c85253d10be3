namespace ZfsLite.Kmem;

/// <summary>Junk fills of memory that is free or not yet written, as the Solaris allocator has them.</summary>
internal static unsafe class Poison
{
    /// <summary>deadbeef: freed memory.</summary>
    internal const uint FreePattern = 0xdeadbeef;

    /// <summary>baddcafe: allocated, not yet written.</summary>
    internal const uint UninitPattern = 0xbaddcafe;

    internal static void FillFree(byte* p, long bytes) => Fill(p, bytes, FreePattern);

    internal static void FillUninit(byte* p, long bytes) => Fill(p, bytes, UninitPattern);

    /// <summary>Does all of it hold the pattern of freed memory?</summary>
    internal static bool IsFree(byte* p, long bytes) => FirstDifference(p, bytes) < 0;

    /// <summary>Offset of the first 4-byte word that was written after the free, or -1.</summary>
    internal static long FirstDifference(byte* p, long bytes)
    {
        long words = bytes / sizeof(uint);
        while (words > 0)
        {
            int n = (int)Math.Min(words, 1 << 20);
            var span = new ReadOnlySpan<uint>(p, n);
            int at = span.IndexOfAnyExcept(FreePattern);
            if (at >= 0)
            {
                return bytes - (words * sizeof(uint)) + ((long)at * sizeof(uint));
            }

            p += (long)n * sizeof(uint);
            words -= n;
        }

        return -1;
    }

    private static void Fill(byte* p, long bytes, uint pattern)
    {
        long words = bytes / sizeof(uint);
        while (words > 0)
        {
            int n = (int)Math.Min(words, 1 << 20);
            new Span<uint>(p, n).Fill(pattern);
            p += (long)n * sizeof(uint);
            words -= n;
        }
    }
}
