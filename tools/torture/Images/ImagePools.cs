using System.IO.Compression;
using System.Text;
using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>The clean pools that images are made from. Small: every block but the contents of files is to be hit now and then.</summary>
internal static unsafe class ImagePools
{
    /// <summary>Written by this project: see <see cref="MakeOwn"/>.</summary>
    internal const string Own = "own";

    private const int RecordBytes = 4096;

    /// <summary>All of them: ours, and those of another implementation that lie in tests/golden.</summary>
    internal static readonly string[] Names = [Own, "goldmini", "golda12", "goldd"];

    /// <summary>The disk of a pool.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="golden">The directory tests/golden.</param>
    internal static MemoryVdevIo Load(string name, string golden)
    {
        if (name == Own)
        {
            return MakeOwn();
        }

        string path = Directory.GetFiles(Path.Combine(golden, name), "*.img.gz").Order(StringComparer.Ordinal).First();
        using var gz = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        return MemoryVdevIo.Load(gz, path);
    }

    /// <summary>
    /// A pool with one of each: small and large directories, trees of one to three levels, holes, extended attributes, links of
    /// each kind, a device, a file that was removed while in use. Needs a memory system; ends in an exported pool.
    /// </summary>
    private static MemoryVdevIo MakeOwn()
    {
        const long diskBytes = 64L << 20;
        var disk = new MemoryVdevIo(diskBytes);
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
        _ = fs.SetXattr(new Cred(0, 0), large, "user.a"u8, new byte[200], 0);
        _ = fs.SetXattr(new Cred(0, 0), dir, "user.b"u8, new byte[5000], 0);
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

    private static ulong Make(Zfsvfs fs, ulong dir, string name, uint mode, string target = "")
    {
        int error = fs.Create(new Cred(0, 0), dir, Encoding.UTF8.GetBytes(name), mode, 0, Encoding.UTF8.GetBytes(target), out ZnodeAttr attr);
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
