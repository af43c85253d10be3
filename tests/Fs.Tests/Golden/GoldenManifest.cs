using System.IO.Compression;
using System.Security.Cryptography;
using System.Text.Json;
using Xunit;

namespace ZfsLite.Fs.Tests;

/// <summary>Holds a file system read offline against what its writer says of it.</summary>
internal static class GoldenManifest
{
    private const ulong Nanos = 1_000_000_000;

    /// <summary>
    /// Every line of a manifest (a view through the mounted file system), and nothing besides but the empty directories that
    /// children (<paramref name="mounts"/>) were mounted on. Returns how many entries.
    /// </summary>
    internal static int Check(OfflineZpl zpl, string file, params string[] mounts) => Check(zpl, file, times: true, mounts);

    /// <summary>As above, without the times of change if they are those of another replay of the log.</summary>
    internal static int Check(OfflineZpl zpl, string file, bool times, params string[] mounts)
    {
        Dictionary<string, ulong> tree = zpl.Tree().ToDictionary(e => e.Path, e => e.Object, StringComparer.Ordinal);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (JsonElement line in Lines(file))
        {
            string path = line.GetProperty("path").GetString()!;
            Assert.True(tree.TryGetValue(path, out ulong obj), $"{zpl.Objset.Name}: {path} is missing");
            Assert.True(seen.Add(path));
            CheckOne(zpl, line, path, obj, times);
        }

        foreach (string mount in mounts)
        {
            Assert.False(tree.TryGetValue(mount, out ulong dir) && seen.Add(mount) && zpl.ReadDir(dir).Any(), mount);
        }

        Assert.Equal(tree.Keys.Order(StringComparer.Ordinal), seen.Where(tree.ContainsKey).Order(StringComparer.Ordinal));
        return seen.Except(mounts).Count();
    }

    /// <summary>Every field of every znode and dnode as another parser read them.</summary>
    internal static int CheckOnDisk(OfflineZpl zpl, string file)
    {
        int count = 0;
        foreach (JsonElement line in Lines(file))
        {
            ulong obj = line.GetProperty("obj").GetUInt64();
            string where = $"{zpl.Objset.Name} object {obj} {line.GetProperty("path").GetString()}";
            OfflineDnode dn = zpl.Objset.ReadDnode(obj);
            ZnodePhys zp = dn.BonusAs<ZnodePhys>(DmuOt.Znode);
            JsonElement d = line.GetProperty("dnode");
            Assert.Equal(
                $"{where} {d.GetProperty("type")} {d.GetProperty("bs")} {d.GetProperty("levels")} {d.GetProperty("nblkptr")} {d.GetProperty("bonuslen")} {d.GetProperty("flags")} {d.GetProperty("maxblkid")} {d.GetProperty("used")}",
                $"{where} {(int)dn.Phys.Type} {dn.Phys.DataBlockSize} {dn.Phys.Levels} {dn.Phys.BlkptrCount} {dn.Phys.BonusLength} {dn.Phys.Flags} {dn.Phys.MaxBlockId} {dn.Phys.Used}");
            (string Name, ulong Value)[] fields =
            [
                ("atime", (ulong)zp.AtimeSeconds), ("atime_ns", (ulong)zp.AtimeNanoseconds), ("mtime", (ulong)zp.MtimeSeconds),
                ("mtime_ns", (ulong)zp.MtimeNanoseconds), ("ctime", (ulong)zp.CtimeSeconds), ("ctime_ns", (ulong)zp.CtimeNanoseconds),
                ("crtime", (ulong)zp.CrtimeSeconds), ("crtime_ns", (ulong)zp.CrtimeNanoseconds), ("gen", zp.Generation),
                ("mode", zp.Mode), ("size", zp.Size), ("parent", zp.Parent), ("links", zp.Links), ("xattr", zp.Xattr),
                ("rdev", zp.Rdev), ("flags", zp.Flags), ("uid", zp.Uid), ("gid", zp.Gid), ("zap", zp.Zap),
            ];
            foreach ((string name, ulong value) in fields)
            {
                ulong expected = line.GetProperty(name).TryGetUInt64(out ulong u) ? u : (ulong)line.GetProperty(name).GetInt64();
                Assert.True(expected == value, $"{where}: {name} is {value}, not {expected}");
            }

            count++;
        }

        return count;
    }

    private static void CheckOne(OfflineZpl zpl, JsonElement line, string path, ulong obj, bool times)
    {
        ZnodePhys zp = zpl.ReadZnode(obj);
        string where = $"{zpl.Objset.Name}:{path}";
        ulong ino = line.GetProperty("ino").GetUInt64();
        Assert.True(path == "/" || ino == obj, $"{where}: object {obj}, not {ino}");
        Assert.Equal(($"{where}", Convert.ToUInt64(line.GetProperty("mode").GetString()![2..], 8)), (where, zp.Mode));
        Assert.Equal((where, line.GetProperty("uid").GetUInt64()), (where, zp.Uid));
        Assert.Equal((where, line.GetProperty("gid").GetUInt64()), (where, zp.Gid));
        Assert.Equal((where, line.GetProperty("size").GetUInt64()), (where, zp.Size));
        Assert.Equal((where, line.GetProperty("nlink").GetUInt64()), (where, zp.Links));
        if (path != "/" && times)
        {
            // (The root's changed once more when children were mounted; the on-disk manifests have it.)
            Assert.Equal((where, line.GetProperty("mtime_ns").GetUInt64() / Nanos), (where, (ulong)zp.MtimeSeconds));
            Assert.Equal((where, line.GetProperty("ctime_ns").GetUInt64() / Nanos), (where, (ulong)zp.CtimeSeconds));
        }

        switch (line.GetProperty("type").GetString())
        {
            case "dir":
                Assert.Equal((where, line.GetProperty("entries").GetInt32()), (where, zpl.ReadDir(obj).Count()));
                break;
            case "symlink":
                Assert.Equal((where, line.GetProperty("target").GetString()), (where, zpl.ReadLink(obj)));
                break;
            case "file":
                CheckContents(zpl, line, where, obj, zp.Size);
                break;
            case "chr" or "blk":
                (uint major, uint minor) = OfflineZpl.DecodeRdev(zp.Rdev);
                uint[] rdev = [.. line.GetProperty("rdev").EnumerateArray().Select(v => v.GetUInt32())];
                Assert.Equal((where, rdev[0], rdev[1]), (where, major, minor));
                break;
        }

        SortedDictionary<string, byte[]> xattrs = zpl.ReadXattrs(obj);
        var expected = line.TryGetProperty("xattrs", out JsonElement x)
            ? x.EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString()!)
            : [];
        Assert.Equal(expected.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => $"{where} {p.Key}={p.Value}"),
            xattrs.Select(p => $"{where} {p.Key}={Convert.ToHexStringLower(p.Value)}"));
    }

    private static void CheckContents(OfflineZpl zpl, JsonElement line, string where, ulong obj, ulong size)
    {
        bool tail = line.TryGetProperty("sha256_last_64k", out JsonElement hash);
        ulong from = tail ? size - 65536 : 0;
        if (!tail)
        {
            hash = line.GetProperty("sha256");
        }

        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[1 << 17];
        while (zpl.ReadFile(obj, from, buffer) is var n and > 0)
        {
            sha.AppendData(buffer, 0, n);
            from += (uint)n;
        }

        Assert.Equal((where, hash.GetString()), (where, Convert.ToHexStringLower(sha.GetHashAndReset())));
        if (line.TryGetProperty("first_512_zero", out _))
        {
            Assert.Equal(512, zpl.ReadFile(obj, 0, buffer.AsSpan(0, 512)));
            Assert.False(buffer.AsSpan(0, 512).ContainsAnyExcept((byte)0));
        }
    }

    private static IEnumerable<JsonElement> Lines(string file)
    {
        using Stream raw = File.OpenRead(file);
        using Stream stream = file.EndsWith(".gz", StringComparison.Ordinal) ? new GZipStream(raw, CompressionMode.Decompress) : raw;
        using var reader = new StreamReader(stream);
        while (reader.ReadLine() is { } line)
        {
            using var doc = JsonDocument.Parse(line);
            yield return doc.RootElement;
        }
    }
}
