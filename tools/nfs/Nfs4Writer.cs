using System.Buffers.Binary;
using System.Text;

namespace ZfsLite.NfsHold;

/// <summary>A message of Sun RPC that is being written.</summary>
internal sealed class Nfs4Writer
{
    private readonly MemoryStream _bytes = new();

    internal Nfs4Writer Word(uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        _bytes.Write(bytes);
        return this;
    }

    internal Nfs4Writer Long(ulong value) => Word((uint)(value >> 32)).Word((uint)value);

    /// <summary>Bytes of a length that both sides know.</summary>
    internal Nfs4Writer Fixed(ReadOnlySpan<byte> value)
    {
        _bytes.Write(value);
        _bytes.Write(stackalloc byte[-value.Length & 3]);
        return this;
    }

    internal Nfs4Writer Opaque(ReadOnlySpan<byte> value) => Word((uint)value.Length).Fixed(value);

    internal Nfs4Writer Text(string value) => Opaque(Encoding.UTF8.GetBytes(value));

    internal byte[] ToArray() => _bytes.ToArray();
}
