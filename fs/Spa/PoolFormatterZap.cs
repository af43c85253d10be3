using System.Buffers.Binary;
using System.Text;

namespace ZfsLite.Fs;

/// <summary>Micro ZAPs of a new pool: one block, names up to 49 bytes, one number each.</summary>
internal static class PoolFormatterZap
{
    /// <summary>The block of a micro ZAP.</summary>
    /// <param name="salt">Salt of the hash; not 0.</param>
    /// <param name="normFlags">Normalisation of names.</param>
    /// <param name="entries">Names and values.</param>
    internal static byte[] Build(ulong salt, ulong normFlags, params ReadOnlySpan<(string Name, ulong Value)> entries)
    {
        int size = ZapPhys.MicroHeaderSize + (entries.Length * ZapPhys.MicroEntrySize);
        byte[] block = new byte[(size + 511) & ~511];
        BinaryPrimitives.WriteUInt64LittleEndian(block, ZapPhys.MicroMagic);
        BinaryPrimitives.WriteUInt64LittleEndian(block.AsSpan(ZapPhys.MicroSalt), salt);
        BinaryPrimitives.WriteUInt64LittleEndian(block.AsSpan(ZapPhys.MicroNormFlags), normFlags);
        for (int i = 0; i < entries.Length; i++)
        {
            Span<byte> entry = block.AsSpan(ZapPhys.MicroHeaderSize + (i * ZapPhys.MicroEntrySize), ZapPhys.MicroEntrySize);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[ZapPhys.MicroEntryValue..], entries[i].Value);
            int n = Encoding.UTF8.GetBytes(entries[i].Name, entry[ZapPhys.MicroEntryName..]);
            if (n > ZapPhys.MicroNameMax)
            {
                throw new InvalidOperationException($"name '{entries[i].Name}' is too long for a micro ZAP");
            }
        }

        return block;
    }
}
