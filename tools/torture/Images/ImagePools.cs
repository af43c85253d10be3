using System.IO.Compression;
using System.Text;
using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>The clean pools that images are made from. Small: every block but the contents of files is to be hit now and then.</summary>
internal static unsafe class ImagePools
{
    /// <summary>Written by this project: see <see cref="MakeOwn"/>.</summary>
    internal const string Own = "own";

    /// <summary>Written by this project, and not closed: an intent log with records of every kind. See <see cref="MakeLog"/>.</summary>
    internal const string OwnLog = "log";

    /// <summary>The same with the log on a device of its own.</summary>
    internal const string OwnLogDevice = "slog";

    private static readonly Cred s_root = new(0, 0);

    private const int RecordBytes = 4096;
    private const long DiskBytes = 64L << 20;

    /// <summary>All of them: ours, and those of another implementation that lie in tests/golden.</summary>
    internal static readonly string[] Names = [Own, OwnLog, OwnLogDevice, "goldmini", "golda12", "goldd"];

    /// <summary>The disks of a pool.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="golden">The directory tests/golden.</param>
    internal static IReadOnlyList<MemoryVdevIo> Load(string name, string golden)
    {
        switch (name)
        {
            case Own:
                return [MakeOwn()];
            case OwnLog:
                return MakeLog([new MemoryVdevIo(DiskBytes)]);
            case OwnLogDevice:
                return MakeLog([new MemoryVdevIo(DiskBytes), new MemoryVdevIo(DiskBytes, "log")]);
        }

        string path = Directory.GetFiles(Path.Combine(golden, name), "*.img.gz").Order(StringComparer.Ordinal).First();
        using var gz = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        return [MemoryVdevIo.Load(gz, path)];
    }

    /// <summary>
    /// A pool with one of each: small and large directories, trees of one to three levels, holes, extended attributes, links of
    /// each kind, a device, a file that was removed while in use. Needs a memory system; ends in an exported pool.
    /// </summary>
    private static MemoryVdevIo MakeOwn()
    {
        var disk = new MemoryVdevIo(DiskBytes);
        _ = PoolFormatter.Format([disk], new PoolCreateOptions { Name = "tank", RecordSize = RecordBytes, GuidSeed = 1 });
        Spa spa = Spa.Open([disk], new SpaOpenOptions { Workers = 1 });
        Objset os = spa.OpenObjset("tank");
        Zfsvfs fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
        ulong root = fs.RootObject;
        ulong dir = Make(fs, root, "dir", 0x41ED);
        ulong deep = Make(fs, Make(fs, dir, "deep", 0x41ED), "deeper", 0x41ED);
        ulong many = Make(fs, root, "many", 0x41ED);
        for (int i = 0; i < 40; i++)
        {
            _ = Make(fs, dir, $"name{i}", 0x81A4);
        }

        for (int i = 0; i < 250; i++)
        {
            _ = Make(fs, many, $"{new string('n', 60)}{i}", 0x81A4);
        }

        _ = Make(fs, root, "empty", 0x81A4);
        Write(fs, Make(fs, root, "small", 0x81A4), 0, 300);
        ulong large = Make(fs, deep, "large", 0x81ED);
        for (ulong at = 0; at < 200; at++)
        {
            Write(fs, large, at * RecordBytes, RecordBytes);
        }

        ulong far = Make(fs, root, "far", 0x81A4);
        Write(fs, far, 0, 10);
        Write(fs, far, 128UL * 128 * RecordBytes, 10);
        _ = fs.SetXattr(s_root, large, "user.a"u8, new byte[200], 0);
        _ = fs.SetXattr(s_root, dir, "user.b"u8, new byte[5000], 0);
        _ = fs.Link(large, dir, "again"u8, out _);
        _ = Make(fs, root, "short", 0xA1FF, "dir/deep");
        _ = Make(fs, root, "long", 0xA1FF, new string('x', 600));
        _ = Make(fs, root, "node", 0x61A4);
        ulong gone = Make(fs, root, "gone", 0x81A4);
        Write(fs, gone, 0, 3 * RecordBytes);
        _ = fs.Open(gone, false);
        _ = fs.Unlink(root, "gone"u8);
        fs.Unmount();
        spa.CloseObjset(os);
        spa.Close();
        return disk;
    }

    /// <summary>A pool as a crash leaves it: some files synced, and a log of many blocks of what was done since.</summary>
    private static List<MemoryVdevIo> MakeLog(List<MemoryVdevIo> disks)
    {
        _ = PoolFormatter.Format([.. disks], new PoolCreateOptions { Name = "tank", RecordSize = 128 << 10, GuidSeed = 2, Exported = false, LogDevices = disks.Count - 1 });
        Spa spa = Spa.Open(disks, new SpaOpenOptions { Workers = 1 });
        Objset os = spa.OpenObjset("tank");
        Zfsvfs fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
        ulong root = fs.RootObject, dir = Make(fs, root, "dir", 0x41ED), old = Make(fs, dir, "old", 0x81A4);
        Write(fs, old, 0, 300_000);
        for (int i = 0; i < 60; i++)
        {
            Write(fs, Make(fs, dir, $"file{i}", 0x81A4), 0, 100);
        }

        _ = Make(fs, Make(fs, root, "empty", 0x41ED), "inner", 0x41ED);
        Good(fs.SetXattr(s_root, old, "user.old"u8, new byte[100], 0));
        Good(spa.Sync());
        ulong at = 0;
        for (int i = 0; i < 12; i++)
        {
            ulong fresh = Make(fs, dir, $"new{i}", 0x81A4);
            Write(fs, fresh, 0, 100 << i);
            Good(fs.Fsync(fresh));
            Good(fs.Rename(s_root, dir, Encoding.UTF8.GetBytes($"file{i}"), root, Encoding.UTF8.GetBytes($"moved{i}"), 0));
            Good(fs.Unlink(dir, Encoding.UTF8.GetBytes($"file{i + 20}")));
            Good(fs.Link(fresh, root, Encoding.UTF8.GetBytes($"link{i}"), out _));
            Good(fs.SetAttr(s_root, fresh, SetAttrMask.Mode | SetAttrMask.Uid | SetAttrMask.Mtime, new ZnodeAttr { Mode = 0x180, Uid = 5, MtimeSec = i }, out _));
            Good(fs.Fsync(fresh));
            ulong made = Make(fs, root, $"d{i}", 0x41ED);
            _ = Make(fs, made, "s", 0xA1FF, "dir/old");
            _ = Make(fs, made, "n", 0x61A4);
            Good(fs.SetXattr(s_root, fresh, "user.new"u8, new byte[50], 0));
            Good(fs.Fsync(made));
            Write(fs, old, at += 3000, 2000);
            Good(fs.SetAttr(s_root, fresh, SetAttrMask.Size, new ZnodeAttr { Size = 50 }, out _));
            Good(fs.Fallocate(old, 3, 140_000, 9000));
            Good(fs.Fsync(old));
        }

        Good(fs.Rmdir(Find(fs, root, "empty"), "inner"u8));
        Good(fs.Rmdir(root, "empty"u8));
        Good(fs.Fsync(old));
        List<MemoryVdevIo> crashed = disks.ConvertAll(static d => d.Clone());
        fs.Unmount();
        spa.CloseObjset(os);
        spa.Close();
        return crashed;
    }

    private static ulong Find(Zfsvfs fs, ulong dir, string name)
    {
        Good(fs.Lookup(dir, Encoding.UTF8.GetBytes(name), out ZnodeAttr attr));
        return attr.Object;
    }

    private static void Good(int error)
    {
        if (error != 0)
        {
            throw new InvalidOperationException($"error {error}");
        }
    }

    private static ulong Make(Zfsvfs fs, ulong dir, string name, uint mode, string target = "")
    {
        int error = fs.Create(s_root, dir, Encoding.UTF8.GetBytes(name), mode, 0, Encoding.UTF8.GetBytes(target), out ZnodeAttr attr);
        return error == 0 ? attr.Object : throw new InvalidOperationException($"{name}: error {error}");
    }

    private static void Write(Zfsvfs fs, ulong obj, ulong at, int length)
    {
        byte[] data = new byte[length];
        data.AsSpan().Fill((byte)(obj + at + 1));
        fixed (byte* p = data)
        {
            int error = fs.Write(obj, at, length, p, ZplWriteFlags.None, out _);
            if (error != 0)
            {
                throw new InvalidOperationException($"object {obj}: error {error}");
            }
        }
    }
}
