using System.Text;

namespace ZfsLite.Fs;

/// <summary>The hash of ZAP names: a salted CRC-64 of the (normalised) name, of which the upper 28 bits count.</summary>
internal static class ZapHash
{
    /// <summary>Bits of the hash that are kept.</summary>
    internal const int Bits = 28;

    /// <summary>Normalisation flag: names that differ in case only are the same name (U8_TEXTPREP_TOUPPER).</summary>
    internal const ulong NormToUpper = ZapPhys.NormToUpper;

    /// <summary>The reflected polynomial of ECMA-182.</summary>
    private const ulong Polynomial = 0xC96C5795D7870F42UL;

    private static readonly ulong[] s_table = MakeTable();

    /// <summary>Hash of a name that is normalised already.</summary>
    internal static ulong Of(ulong salt, ReadOnlySpan<byte> name)
    {
        ulong h = salt;
        foreach (byte c in name)
        {
            h = (h >> 8) ^ s_table[(byte)(h ^ c)];
        }

        return h & ~((1UL << (64 - Bits)) - 1);
    }

    /// <summary>Hash of a name in a ZAP with these normalisation flags.</summary>
    internal static ulong Of(ulong salt, ulong normFlags, ReadOnlySpan<byte> name)
    {
        if (normFlags == 0)
        {
            return Of(salt, name);
        }

        Span<byte> upper = stackalloc byte[ZapLimits.NormalizedMax];
        return Of(salt, upper[..ToUpper(name, upper)]);
    }

    /// <summary>Are two names the same under the flags?</summary>
    internal static bool Same(ulong normFlags, ReadOnlySpan<byte> a, ReadOnlySpan<byte> b)
    {
        if (a.SequenceEqual(b))
        {
            return true;
        }

        if (normFlags == 0)
        {
            return false;
        }

        Span<byte> ua = stackalloc byte[ZapLimits.NormalizedMax];
        Span<byte> ub = stackalloc byte[ZapLimits.NormalizedMax];
        return ua[..ToUpper(a, ua)].SequenceEqual(ub[..ToUpper(b, ub)]);
    }

    /// <summary>Upper-cases UTF-8; bytes that are no valid UTF-8 stay as they are. Returns the length.</summary>
    internal static int ToUpper(ReadOnlySpan<byte> name, Span<byte> upper)
    {
        int to = 0;
        for (int i = 0; i < name.Length;)
        {
            if (name[i] < 0x80)
            {
                byte c = name[i++];
                upper[to++] = c is >= (byte)'a' and <= (byte)'z' ? (byte)(c - 32) : c;
            }
            else if (Rune.DecodeFromUtf8(name[i..], out Rune rune, out int used) == System.Buffers.OperationStatus.Done)
            {
                to += Rune.ToUpperInvariant(rune).EncodeToUtf8(upper[to..]);
                i += used;
            }
            else
            {
                upper[to++] = name[i++];
            }
        }

        return to;
    }

    private static ulong[] MakeTable()
    {
        var table = new ulong[256];
        for (uint i = 0; i < 256; i++)
        {
            ulong v = i;
            for (int bit = 0; bit < 8; bit++)
            {
                v = (v >> 1) ^ ((v & 1) != 0 ? Polynomial : 0);
            }

            table[i] = v;
        }

        return table;
    }
}
