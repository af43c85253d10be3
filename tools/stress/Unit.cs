using System.Runtime.InteropServices;

namespace ZfsLite.Stress;

/// <summary>
/// The contents of files: units of 512 bytes, each of which names the file, its own place and the version of the write that
/// made it, and is filled from these by a fixed generator. So a unit read back is judged on its own: it is a version that was
/// written there, or a hole, or corrupt. 512 bytes never straddle a page or a record, so a crash cannot tear one.
/// </summary>
internal static class Unit
{
    internal const int Bytes = 512;
    private const ulong Magic = 0x3154494e55535a; // "ZSUNIT1"

    /// <summary>Fills a unit.</summary>
    internal static void Fill(Span<byte> unit, ulong file, long index, uint version)
    {
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(unit);
        words[0] = Magic;
        words[1] = file;
        words[2] = (ulong)index;
        words[3] = version;
        ulong state = (file * 0x9e3779b97f4a7c15) ^ ((ulong)index << 32) ^ version;
        for (int i = 4; i < words.Length; i++)
        {
            words[i] = Next(ref state);
        }
    }

    /// <summary>
    /// The version in a unit; 0: a hole (all zero); null: neither, that is, bytes that nobody wrote there.
    /// </summary>
    internal static uint? Identify(ReadOnlySpan<byte> unit, ulong file, long index)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(unit);
        if (!unit.ContainsAnyExcept((byte)0))
        {
            return 0;
        }

        if (words[0] != Magic || words[1] != file || words[2] != (ulong)index || words[3] is 0 or > uint.MaxValue)
        {
            return null;
        }

        uint version = (uint)words[3];
        Span<byte> expected = stackalloc byte[Bytes];
        Fill(expected, file, index, version);
        return unit.SequenceEqual(expected) ? version : null;
    }

    private static ulong Next(ref ulong state)
    {
        ulong z = state += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
}
