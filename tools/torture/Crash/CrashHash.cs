using System.Runtime.InteropServices;

namespace ZfsLite.Torture;

/// <summary>Hashes by which the model and what is read back are compared. Not cryptographic.</summary>
internal static class CrashHash
{
    private const ulong Multiplier = 0x9E3779B97F4A7C15;

    /// <summary>Of numbers, in order.</summary>
    internal static ulong Of(params ReadOnlySpan<ulong> values)
    {
        ulong hash = Multiplier;
        foreach (ulong v in values)
        {
            hash = Mix(hash ^ v);
        }

        return hash;
    }

    /// <summary>Of bytes.</summary>
    internal static ulong Of(ReadOnlySpan<byte> bytes)
    {
        ulong hash = (ulong)bytes.Length;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words)
        {
            hash = (hash ^ word) * Multiplier;
            hash ^= hash >> 29;
        }

        foreach (byte b in bytes[(words.Length * sizeof(ulong))..])
        {
            hash = (hash ^ b) * Multiplier;
        }

        return Mix(hash);
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
