using System.Text;
using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>What a walk finds below a directory of a mounted file system, as hashes.</summary>
internal sealed unsafe class CrashTree
{
    /// <summary>Room for the largest file.</summary>
    internal const int BufferBytes = 128 << 10;

    /// <summary>Names.</summary>
    internal ulong Names { get; private set; }

    /// <summary>Names, contents, attributes.</summary>
    internal ulong Total { get; private set; }

    /// <summary>Contents and extended attributes of each file.</summary>
    internal Dictionary<ulong, (ulong Data, ulong Xattrs)> Files { get; } = [];

    /// <summary>Modes and contents, if they were asked for.</summary>
    internal Dictionary<ulong, (uint Mode, byte[] Data)> Contents { get; } = [];

    internal static ulong NameHash(ulong dir, ReadOnlySpan<byte> name, ulong obj) => CrashHash.Of(1, dir, CrashHash.Of(name), obj);

    internal static ulong DataHash(ulong obj, uint mode, ReadOnlySpan<byte> data) => CrashHash.Of(2, obj, mode, CrashHash.Of(data));

    internal static ulong XattrHash(ulong obj, ReadOnlySpan<byte> name, ulong value) => CrashHash.Of(3, obj, CrashHash.Of(name), value);

    /// <summary>Reads everything below a directory, by way of a buffer of <see cref="BufferBytes"/>. Throws InvalidDataException for what can't be read.</summary>
    internal static CrashTree Read(Zfsvfs fs, ulong root, byte[] buffer, bool keepContents)
    {
        var tree = new CrashTree();
        tree.Walk(fs, root, buffer, keepContents);
        return tree;
    }

    private void Walk(Zfsvfs fs, ulong dir, byte[] buffer, bool keepContents)
    {
        var filler = new Filler();
        Require(fs.ReadDir(dir, 0, filler), dir, "readdir");
        foreach ((byte[] name, ulong obj) in filler.Entries)
        {
            ulong hash = NameHash(dir, name, obj);
            Names += hash;
            Total += hash;
            if (Files.ContainsKey(obj))
            {
                continue;
            }

            Require(fs.Lookup(dir, name, out ZnodeAttr attr), obj, $"lookup of {Encoding.UTF8.GetString(name)}");
            if (attr.Object != obj)
            {
                throw new InvalidDataException($"{Encoding.UTF8.GetString(name)} is object {obj} to readdir and {attr.Object} to lookup");
            }

            ReadOnlySpan<byte> contents = ReadContents(fs, attr, buffer);
            ulong data = DataHash(obj, attr.Mode, contents);
            if (keepContents)
            {
                Contents.Add(obj, (attr.Mode, contents.ToArray()));
            }

            ulong xattrs = ReadXattrs(fs, obj, buffer);
            Files.Add(obj, (data, xattrs));
            Total += data + xattrs;
            if ((attr.Mode & 0xF000) == 0x4000)
            {
                Walk(fs, obj, buffer, keepContents);
            }
        }
    }

    private static ReadOnlySpan<byte> ReadContents(Zfsvfs fs, in ZnodeAttr attr, byte[] buffer)
    {
        int length = 0;
        switch (attr.Mode & 0xF000)
        {
            case 0x4000:
                return [];
            case 0xA000:
                Require(fs.ReadLink(attr.Object, buffer, out length), attr.Object, "readlink");
                break;
            default:
                if (attr.Size > (ulong)buffer.Length)
                {
                    throw new InvalidDataException($"object {attr.Object} has {attr.Size} bytes");
                }

                fixed (byte* p = buffer)
                {
                    Require(fs.Read(attr.Object, 0, (int)attr.Size, p, out length), attr.Object, "read");
                }

                if (length != (int)attr.Size)
                {
                    throw new InvalidDataException($"object {attr.Object}: {length} of {attr.Size} bytes read");
                }

                break;
        }

        return buffer.AsSpan(0, length);
    }

    private static ulong ReadXattrs(Zfsvfs fs, ulong obj, byte[] buffer)
    {
        Require(fs.ListXattr(obj, buffer, out int length), obj, "listxattr");
        if (length == 0)
        {
            return 0;
        }

        ulong sum = 0;
        byte[] names = buffer.AsSpan(0, length).ToArray();
        for (int at = 0; at < names.Length;)
        {
            ReadOnlySpan<byte> name = names.AsSpan(at, Array.IndexOf(names, (byte)0, at) - at);
            Require(fs.GetXattr(obj, name, buffer, out int size), obj, "getxattr");
            sum += XattrHash(obj, name, CrashHash.Of(buffer.AsSpan(0, size)));
            at += name.Length + 1;
        }

        return sum;
    }

    private static void Require(int error, ulong obj, string what)
    {
        if (error != 0)
        {
            throw new InvalidDataException($"object {obj}: {what}: errno {error}");
        }
    }

    private sealed class Filler : IDirFiller
    {
        internal List<(byte[] Name, ulong Object)> Entries { get; } = [];

        public bool Add(ReadOnlySpan<byte> name, ulong obj, int type, ulong nextCookie)
        {
            if (!name.SequenceEqual("."u8) && !name.SequenceEqual(".."u8))
            {
                Entries.Add((name.ToArray(), obj));
            }

            return true;
        }
    }
}
