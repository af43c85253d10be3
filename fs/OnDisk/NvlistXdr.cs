using System.Buffers.Binary;
using System.Text;

namespace ZfsLite.Fs;

/// <summary>
/// The XDR encoding of nvlists. Every number is big-endian and takes 4 or 8 bytes; strings and bytes are padded to 4. A pair
/// states its encoded size and the size it takes in a native decoder, which allocates by it.
/// </summary>
internal static class NvlistXdr
{
    private const int MaxDepth = 32;

    internal static byte[] Pack(Nvlist list)
    {
        var w = new Writer();
        w.Raw([1, 1, 0, 0]);
        WriteList(w, list);
        return w.ToArray();
    }

    internal static Nvlist? TryParse(ReadOnlySpan<byte> data, out string? problem)
    {
        problem = null;
        if (data.Length < 4)
        {
            problem = "shorter than its head";
            return null;
        }

        if (data[0] != 1)
        {
            problem = $"encoding {data[0]}, not XDR";
            return null;
        }

        var r = new Reader(data[4..]);
        Nvlist? list = ReadList(ref r, 0);
        problem = r.Problem;
        return r.Problem is null ? list : null;
    }

    private static void WriteList(Writer w, Nvlist list)
    {
        w.Int32(0);
        w.Int32(1);
        foreach (NvPair p in list.Pairs)
        {
            int start = w.Length;
            w.Int32(0);
            w.Int32(DecodedSize(p));
            w.String(p.Name);
            w.Int32((int)p.Type);
            w.Int32(ElementCount(p));
            WriteValue(w, p);
            w.PatchInt32(start, w.Length - start);
        }

        w.Int32(0);
        w.Int32(0);
    }

    private static void WriteValue(Writer w, NvPair p)
    {
        switch (p.Type)
        {
            case NvType.Boolean: break;
            case NvType.BooleanValue: w.Int32((bool)p.Value ? 1 : 0); break;
            case NvType.Byte or NvType.UInt8: w.Int32((byte)p.Value); break;
            case NvType.Int8: w.Int32((sbyte)p.Value); break;
            case NvType.Int16: w.Int32((short)p.Value); break;
            case NvType.UInt16: w.Int32((ushort)p.Value); break;
            case NvType.Int32: w.Int32((int)p.Value); break;
            case NvType.UInt32: w.Int32((int)(uint)p.Value); break;
            case NvType.Int64 or NvType.HrTime: w.UInt64((ulong)(long)p.Value); break;
            case NvType.UInt64: w.UInt64((ulong)p.Value); break;
            case NvType.String: w.String((string)p.Value); break;
            case NvType.ByteArray: w.Raw((byte[])p.Value); w.Align(); break;
            case NvType.Int16Array: WriteArray(w, (short[])p.Value, static (w, v) => w.Int32(v)); break;
            case NvType.UInt16Array: WriteArray(w, (ushort[])p.Value, static (w, v) => w.Int32(v)); break;
            case NvType.Int32Array: WriteArray(w, (int[])p.Value, static (w, v) => w.Int32(v)); break;
            case NvType.UInt32Array: WriteArray(w, (uint[])p.Value, static (w, v) => w.Int32((int)v)); break;
            case NvType.Int64Array: WriteArray(w, (long[])p.Value, static (w, v) => w.UInt64((ulong)v)); break;
            case NvType.UInt64Array: WriteArray(w, (ulong[])p.Value, static (w, v) => w.UInt64(v)); break;
            case NvType.StringArray:
                foreach (string s in (string[])p.Value)
                {
                    w.String(s);
                }

                break;
            case NvType.Nvlist: WriteList(w, (Nvlist)p.Value); break;
            case NvType.NvlistArray:
                foreach (Nvlist l in (Nvlist[])p.Value)
                {
                    WriteList(w, l);
                }

                break;
            default: throw new InvalidOperationException($"nvlist type {p.Type}");
        }
    }

    private static void WriteArray<T>(Writer w, T[] values, Action<Writer, T> one)
    {
        w.Int32(values.Length);
        foreach (T v in values)
        {
            one(w, v);
        }
    }

    private static int ElementCount(NvPair p) => p.Value is Array a ? a.Length : p.Type == NvType.Boolean ? 0 : 1;

    private static int DecodedSize(NvPair p) => Align8(16 + Encoding.UTF8.GetByteCount(p.Name) + 1) + Align8(ValueSize(p));

    private static int ValueSize(NvPair p) => p.Value switch
    {
        _ when p.Type == NvType.Boolean => 0,
        bool => 4,
        byte or sbyte => 1,
        short or ushort => 2,
        int or uint => 4,
        long or ulong => 8,
        string s => Encoding.UTF8.GetByteCount(s) + 1,
        Nvlist => 24,
        Nvlist[] a => 32 * a.Length,
        byte[] a => a.Length,
        short[] a => 2 * a.Length,
        ushort[] a => 2 * a.Length,
        int[] a => 4 * a.Length,
        uint[] a => 4 * a.Length,
        long[] a => 8 * a.Length,
        ulong[] a => 8 * a.Length,
        string[] a => (8 * a.Length) + a.Sum(s => Encoding.UTF8.GetByteCount(s) + 1),
        _ => throw new InvalidOperationException($"nvlist value of {p.Value.GetType()}"),
    };

    private static int Align8(int n) => (n + 7) & ~7;

    private static Nvlist? ReadList(ref Reader r, int depth)
    {
        if (depth > MaxDepth)
        {
            r.Fail("nested too deeply");
            return null;
        }

        int version = r.Int32();
        _ = r.Int32();
        if (version != 0)
        {
            r.Fail($"version {version}");
        }

        var list = new Nvlist();
        while (r.Problem is null)
        {
            int encoded = r.Int32();
            int decoded = r.Int32();
            if (r.Problem is not null || (encoded == 0 && decoded == 0))
            {
                break;
            }

            string name = r.String();
            int type = r.Int32();
            int count = r.Int32();
            object? value = r.Problem is null ? ReadValue(ref r, (NvType)type, count, depth) : null;
            if (value is not null && r.Problem is null)
            {
                _ = list.Set(name, (NvType)type, value);
            }
        }

        return list;
    }

    private static object? ReadValue(ref Reader r, NvType type, int count, int depth)
    {
        switch (type)
        {
            case NvType.Boolean: return true;
            case NvType.BooleanValue: return r.Int32() != 0;
            case NvType.Byte or NvType.UInt8: return (byte)r.Int32();
            case NvType.Int8: return (sbyte)r.Int32();
            case NvType.Int16: return (short)r.Int32();
            case NvType.UInt16: return (ushort)r.Int32();
            case NvType.Int32: return r.Int32();
            case NvType.UInt32: return (uint)r.Int32();
            case NvType.Int64 or NvType.HrTime: return (long)r.UInt64();
            case NvType.UInt64: return r.UInt64();
            case NvType.String: return r.String();
            case NvType.ByteArray: return r.Bytes(count);
            case NvType.Int16Array: return ReadArray(ref r, count, 4, static (ref r) => (short)r.Int32());
            case NvType.UInt16Array: return ReadArray(ref r, count, 4, static (ref r) => (ushort)r.Int32());
            case NvType.Int32Array: return ReadArray(ref r, count, 4, static (ref r) => r.Int32());
            case NvType.UInt32Array: return ReadArray(ref r, count, 4, static (ref r) => (uint)r.Int32());
            case NvType.Int64Array: return ReadArray(ref r, count, 8, static (ref r) => (long)r.UInt64());
            case NvType.UInt64Array: return ReadArray(ref r, count, 8, static (ref r) => r.UInt64());
            case NvType.StringArray: return ReadItems(ref r, count, 4, static (ref r) => r.String());
            case NvType.Nvlist: return ReadList(ref r, depth + 1);
            case NvType.NvlistArray: return ReadNvlists(ref r, count, depth);
            default:
                r.Fail($"value of type {(int)type}");
                return null;
        }
    }

    private delegate T ReadOne<T>(ref Reader r);

    private static T[]? ReadArray<T>(ref Reader r, int count, int width, ReadOne<T> one)
    {
        if (r.Int32() != count)
        {
            r.Fail("array lengths disagree");
            return null;
        }

        return ReadItems(ref r, count, width, one);
    }

    private static T[]? ReadItems<T>(ref Reader r, int count, int width, ReadOne<T> one)
    {
        if (count < 0 || count > r.Left / width)
        {
            r.Fail($"array of {count}");
            return null;
        }

        var values = new T[count];
        for (int i = 0; i < count && r.Problem is null; i++)
        {
            values[i] = one(ref r);
        }

        return values;
    }

    private static Nvlist[]? ReadNvlists(ref Reader r, int count, int depth)
    {
        // The shortest list takes 16 bytes.
        if (count < 0 || count > r.Left / 16)
        {
            r.Fail($"array of {count} lists");
            return null;
        }

        var lists = new Nvlist[count];
        for (int i = 0; i < count && r.Problem is null; i++)
        {
            lists[i] = ReadList(ref r, depth + 1) ?? new Nvlist();
        }

        return lists;
    }

    private ref struct Reader(ReadOnlySpan<byte> data)
    {
        private readonly ReadOnlySpan<byte> _data = data;
        private int _at;

        internal string? Problem { get; private set; }

        internal readonly int Left => _data.Length - _at;

        internal void Fail(string problem) => Problem ??= $"{problem} at byte {_at + 4}";

        internal int Int32() => Take(4) ? BinaryPrimitives.ReadInt32BigEndian(_data[(_at - 4)..]) : 0;

        internal ulong UInt64() => Take(8) ? BinaryPrimitives.ReadUInt64BigEndian(_data[(_at - 8)..]) : 0;

        internal string String()
        {
            int n = Int32();
            return Bytes(n) is { } b ? Encoding.UTF8.GetString(b) : "";
        }

        internal byte[]? Bytes(int n)
        {
            if (n < 0 || n > Left)
            {
                Fail($"{n} bytes announced, {Left} left");
                return null;
            }

            byte[] bytes = _data.Slice(_at, n).ToArray();
            _ = Take(Math.Min(Left, (n + 3) & ~3));
            return bytes;
        }

        private bool Take(int n)
        {
            if (Problem is not null)
            {
                return false;
            }

            if (n > Left)
            {
                Fail("cut short");
                return false;
            }

            _at += n;
            return true;
        }
    }

    private sealed class Writer
    {
        private byte[] _data = new byte[1024];

        internal int Length { get; private set; }

        internal byte[] ToArray() => _data.AsSpan(0, Length).ToArray();

        internal void Int32(int v) => BinaryPrimitives.WriteInt32BigEndian(Room(4), v);

        internal void UInt64(ulong v) => BinaryPrimitives.WriteUInt64BigEndian(Room(8), v);

        internal void PatchInt32(int at, int v) => BinaryPrimitives.WriteInt32BigEndian(_data.AsSpan(at), v);

        internal void Raw(ReadOnlySpan<byte> bytes) => bytes.CopyTo(Room(bytes.Length));

        internal void Align() => Room(-Length & 3).Clear();

        internal void String(string s)
        {
            int n = Encoding.UTF8.GetByteCount(s);
            Int32(n);
            _ = Encoding.UTF8.GetBytes(s, Room(n));
            Align();
        }

        private Span<byte> Room(int n)
        {
            while (_data.Length - Length < n)
            {
                Array.Resize(ref _data, _data.Length * 2);
            }

            Length += n;
            return _data.AsSpan(Length - n, n);
        }
    }
}
