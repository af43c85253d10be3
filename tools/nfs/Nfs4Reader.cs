using System.Buffers.Binary;

namespace ZfsLite.NfsHold;

/// <summary>A message of Sun RPC that was received. Past its end: an exception.</summary>
internal sealed class Nfs4Reader(byte[] bytes)
{
    private int _at;

    internal uint Word()
    {
        uint value = BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(_at));
        _at += 4;
        return value;
    }

    internal ulong Long() => ((ulong)Word() << 32) | Word();

    internal byte[] Fixed(int length)
    {
        byte[] value = bytes.AsSpan(_at, length).ToArray();
        _at += length + (-length & 3);
        return value;
    }

    internal byte[] Opaque() => Fixed((int)Word());
}
