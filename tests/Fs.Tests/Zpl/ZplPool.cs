using System.Text;
using Xunit;
using ZfsLite.Kmem;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>A pool in memory with its file system mounted, for tests: short names for the calls, remount, and the judge.</summary>
internal sealed unsafe class ZplPool : IDisposable
{
    internal static readonly Cred Root = new(0, 0);

    private readonly KmemScope _kmem;
    private readonly string _dataset = "tank";
    private MemoryVdevIo _disk;
    private Spa? _spa;
    private Objset _os = null!;

    internal ZplPool(AtimeMode atime = AtimeMode.Off, int recordSize = 131072, long diskBytes = 128 << 20, long arenaBytes = 64 << 20, KmemPolicy policy = KmemPolicy.Fstrans)
        : this(new KmemOptions { ArenaBytes = arenaBytes, Policy = policy, Poison = true, LockArena = false }, atime, recordSize, diskBytes)
    {
    }

    /// <summary>An existing image.</summary>
    internal ZplPool(MemoryVdevIo disk, string dataset)
    {
        _kmem = new KmemScope(new KmemOptions { ArenaBytes = 64 << 20, Poison = true, LockArena = false });
        _disk = disk;
        _dataset = dataset;
        Open(AtimeMode.Off);
    }

    internal ZplPool(KmemOptions memory, AtimeMode atime = AtimeMode.Off, int recordSize = 131072, long diskBytes = 128 << 20)
    {
        _kmem = new KmemScope(memory);
        _disk = new MemoryVdevIo(diskBytes);
        PoolFormatter.Format([_disk], new PoolCreateOptions { Name = "tank", RecordSize = recordSize, GuidSeed = 1 });
        Open(atime);
    }

    internal Zfsvfs Fs { get; private set; } = null!;

    internal Objset Objset => _os;

    internal Spa Spa => _spa!;

    /// <summary>The pool is to suspend, after which nothing counts what it still holds.</summary>
    internal bool MayLeak
    {
        set => _kmem.Failed = value;
    }

    internal ulong RootDir => Fs.RootObject;

    /// <summary>Unmounts, exports, opens and mounts again.</summary>
    internal void Remount(AtimeMode atime = AtimeMode.Off, bool readOnly = false)
    {
        Shut();
        Open(atime, readOnly);
    }

    /// <summary>Unmounts, exports, changes the image and mounts again.</summary>
    internal void Edit(Action<PoolEditor> edit)
    {
        Shut();
        edit(new PoolEditor(_disk));
        Open(AtimeMode.Off);
    }

    /// <summary>Opens another image for writing, beside this pool, and closes it.</summary>
    internal static void With(MemoryVdevIo disk, Action<Spa> use)
    {
        Spa spa = Spa.Open([disk], new SpaOpenOptions());
        use(spa);
        spa.Close();
    }

    /// <summary>What is on the disk at this moment, as a crash would leave it: a copy.</summary>
    internal MemoryVdevIo CrashImage() => _disk.Clone();

    /// <summary>Goes on with what was on the disk at the last synced txg, as after a crash.</summary>
    internal void Crash(Action<MemoryVdevIo>? edit = null, bool readOnly = false)
    {
        MemoryVdevIo copy = _disk.Clone();
        Shut();
        edit?.Invoke(copy);
        _disk = copy;
        Open(AtimeMode.Off, readOnly);
    }

    internal ulong Make(ulong dir, string name, uint mode = 0x81A4, string target = "", uint rdev = 0, Cred? cred = null)
    {
        int error = Fs.Create(cred ?? Root, dir, Bytes(name), mode, rdev, Bytes(target), out ZnodeAttr attr);
        Assert.True(error == 0, $"create {name}: {error}");
        return attr.Object;
    }

    internal int TryMake(ulong dir, string name, uint mode = 0x81A4) => Fs.Create(Root, dir, Bytes(name), mode, 0, default, out _);

    internal ulong MakeDir(ulong dir, string name, uint mode = 0x41ED) => Make(dir, name, mode);

    internal ZnodeAttr Stat(ulong obj)
    {
        Assert.Equal(0, Fs.GetAttr(obj, out ZnodeAttr attr));
        return attr;
    }

    internal ulong Find(ulong dir, string name)
    {
        Assert.Equal(0, Fs.Lookup(dir, Bytes(name), out ZnodeAttr attr));
        return attr.Object;
    }

    internal int Lookup(ulong dir, string name) => Fs.Lookup(dir, Bytes(name), out _);

    internal int Write(ulong obj, ulong offset, ReadOnlySpan<byte> data)
    {
        fixed (byte* p = data)
        {
            int error = Fs.Write(obj, offset, data.Length, p, ZplWriteFlags.None, out int done);
            Assert.True(error != 0 || done == data.Length);
            return error;
        }
    }

    internal byte[] Read(ulong obj, ulong offset = 0, int length = 8 << 20)
    {
        var data = new byte[length];
        fixed (byte* p = data)
        {
            Assert.Equal(0, Fs.Read(obj, offset, length, p, out int done));
            return data[..done];
        }
    }

    internal int Unlink(ulong dir, string name) => Fs.Unlink(dir, Bytes(name));

    internal int Rmdir(ulong dir, string name) => Fs.Rmdir(dir, Bytes(name));

    internal int Rename(ulong from, string name, ulong to, string newName, uint flags = 0) =>
        Fs.Rename(Root, from, Bytes(name), to, Bytes(newName), flags);

    internal int Link(ulong obj, ulong dir, string name) => Fs.Link(obj, dir, Bytes(name), out _);

    internal int Truncate(ulong obj, ulong size) =>
        Fs.SetAttr(Root, obj, SetAttrMask.Size, new ZnodeAttr { Size = size }, out _);

    internal string ReadLink(ulong obj)
    {
        Span<byte> room = stackalloc byte[4096];
        Assert.Equal(0, Fs.ReadLink(obj, room, out int length));
        return Encoding.UTF8.GetString(room[..length]);
    }

    /// <summary>Names of a directory without the dots, sorted.</summary>
    internal List<string> List(ulong dir, int perCall = int.MaxValue)
    {
        var filler = new Filler();
        do
        {
            filler.Left = perCall;
            Assert.Equal(0, Fs.ReadDir(dir, filler.Cookie, filler));
        }
        while (filler.Left == 0);

        Assert.Equal([".", ".."], filler.Names.Take(2));
        Assert.Equal(filler.Names.Count, filler.Names.Distinct().Count());
        return [.. filler.Names.Skip(2).Order(StringComparer.Ordinal)];
    }

    internal int SetXattr(ulong obj, string name, ReadOnlySpan<byte> value, int flags = 0) => Fs.SetXattr(Root, obj, Bytes(name), value, flags);

    internal int RemoveXattr(ulong obj, string name) => Fs.RemoveXattr(obj, Bytes(name));

    internal byte[]? GetXattr(ulong obj, string name)
    {
        int error = Fs.GetXattr(obj, Bytes(name), default, out int length);
        if (error == Errno.ENODATA)
        {
            return null;
        }

        Assert.Equal(0, error);
        var value = new byte[length];
        Assert.Equal(0, Fs.GetXattr(obj, Bytes(name), value, out int again));
        Assert.Equal(length, again);
        return value;
    }

    internal List<string> ListXattr(ulong obj)
    {
        Assert.Equal(0, Fs.ListXattr(obj, default, out int length));
        var list = new byte[length];
        Assert.Equal(0, Fs.ListXattr(obj, list, out _));
        return [.. Encoding.UTF8.GetString(list).Split('\0', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal)];
    }

    /// <summary>Exports, and has zdb look for leaks and bad checksums; with no zdb at hand only exports. Opens again.</summary>
    internal void Judge(bool zdb = true)
    {
        Shut();
        using (PoolReader pool = PoolReader.Open([_disk.Clone()]))
        {
            // A hard link's parent may be a directory that it has left: ZFS keeps one parent for all names.
            Assert.DoesNotContain(PoolChecker.Run(pool).Findings, f => !f.ToString()!.Contains("does not hold it", StringComparison.Ordinal));
        }

        if (zdb && ZfsFuseTools.Missing is null)
        {
            string folder = Directory.CreateTempSubdirectory("zfslite-zpl-").FullName;
            try
            {
                using (FileStream f = File.Create(Path.Combine(folder, "d0.img")))
                {
                    _disk.Save(f);
                }

                (int code, string output) = ZfsFuseTools.ZdbCheck(folder, "tank");
                Assert.True(code == 0 && output.Contains("No leaks", StringComparison.Ordinal), $"zdb: exit {code}\n{output}");
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
        }

        Open(AtimeMode.Off);
    }

    /// <summary>Exports, and reads the pool with the offline reader, which shares no code with the mounted file system.</summary>
    internal void ReadOffline(Action<OfflineZpl> look)
    {
        Shut();
        using (PoolReader pool = PoolReader.Open([_disk.Clone()]))
        {
            look(pool.OpenFileSystem(pool.Datasets().First(d => d.Name == _dataset)));
        }

        Open(AtimeMode.Off);
    }

    public void Dispose()
    {
        try
        {
            if (_spa is not null)
            {
                Shut();
            }
        }
        catch
        {
            _kmem.Failed = true;
            throw;
        }
        finally
        {
            _kmem.Dispose();
        }
    }

    private static byte[] Bytes(string s) => Encoding.UTF8.GetBytes(s);

    private void Open(AtimeMode atime, bool readOnly = false)
    {
        _spa = Spa.Open([_disk], new SpaOpenOptions { ReadOnly = readOnly });
        _os = _spa.OpenObjset(_dataset);
        Fs = Zfsvfs.Mount(_os, readOnly, atime);
    }

    private void Shut()
    {
        Spa spa = _spa!;
        _spa = null;
        Fs.Unmount();
        spa.CloseObjset(_os);
        spa.Close();
    }

    private sealed class Filler : IDirFiller
    {
        internal readonly List<string> Names = [];

        internal ulong Cookie { get; private set; }

        internal int Left { get; set; }

        public bool Add(ReadOnlySpan<byte> name, ulong obj, int type, ulong nextCookie)
        {
            if (Left == 0)
            {
                return false;
            }

            Left--;
            Names.Add(Encoding.UTF8.GetString(name));
            Cookie = nextCookie;
            return true;
        }
    }
}
