using System.Text;
using Xunit;
using ZfsLite.Kmem;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>A pool on several disks in memory, some of them for the log, with its file system mounted.</summary>
internal sealed unsafe class LogPool : IDisposable
{
    private readonly KmemScope _kmem = new(new KmemOptions { ArenaBytes = 64 << 20, Poison = true, LockArena = false });
    private Spa? _spa;
    private Objset _os = null!;

    /// <summary>Makes a pool on one disk and so many log devices.</summary>
    internal LogPool(int logs)
    {
        for (int i = 0; i <= logs; i++)
        {
            Disks.Add(Disk(i == 0 ? "d0" : $"log{i}"));
        }

        PoolFormatter.Format([.. Disks], new PoolCreateOptions { Name = Name, GuidSeed = 1, LogDevices = logs, Exported = false });
        Open();
    }

    /// <summary>An existing pool.</summary>
    internal LogPool(string name, IEnumerable<MemoryVdevIo> disks, bool withoutLog = false)
    {
        Name = name;
        Disks.AddRange(disks);
        Open(withoutLog);
    }

    internal string Name { get; } = "tank";

    /// <summary>The disks that are given at an open.</summary>
    internal List<MemoryVdevIo> Disks { get; } = [];

    internal Spa Spa => _spa!;

    internal Zfsvfs Fs { get; private set; } = null!;

    internal static MemoryVdevIo Disk(string name) => new(64 << 20, name);

    /// <summary>Bytes allocated on a log vdev.</summary>
    internal long LogBytes(uint vdev) => Spa.Allocator.GetMetaslabStats().Where(m => m.Vdev == vdev).Sum(static m => m.Allocated);

    internal ulong Make(string name)
    {
        Assert.Equal(0, Fs.Create(ZplPool.Root, Fs.RootObject, Encoding.UTF8.GetBytes(name), 0x81A4, 0, default, out ZnodeAttr attr));
        return attr.Object;
    }

    /// <summary>Makes a file, writes a text of some length into it and commits.</summary>
    internal void MakeCommitted(string name, int length)
    {
        ulong obj = Make(name);
        Write(obj, name, length);
        Assert.Equal(0, Fs.Fsync(obj));
    }

    internal void Write(ulong obj, string name, int length)
    {
        fixed (byte* p = Contents(name, length))
        {
            Assert.Equal(0, Fs.Write(obj, 0, length, p, ZplWriteFlags.None, out _));
        }
    }

    /// <summary>The file is there with what <see cref="MakeCommitted"/> wrote.</summary>
    internal void Verify(string name, int length)
    {
        Assert.True(Fs.Lookup(Fs.RootObject, Encoding.UTF8.GetBytes(name), out ZnodeAttr attr) == 0, $"{name} is not there");
        Assert.Equal((ulong)length, attr.Size);
        var data = new byte[length];
        fixed (byte* p = data)
        {
            Assert.Equal(0, Fs.Read(attr.Object, 0, length, p, out int done));
            Assert.Equal(length, done);
        }

        Assert.Equal(Contents(name, length), data);
    }

    internal bool Has(string name) => Fs.Lookup(Fs.RootObject, Encoding.UTF8.GetBytes(name), out _) == 0;

    /// <summary>What is on the disks at this moment.</summary>
    internal List<MemoryVdevIo> Images() => Disks.ConvertAll(static d => d.Clone());

    /// <summary>Goes on with what is on the disks now, as after a crash.</summary>
    internal void Crash()
    {
        List<MemoryVdevIo> images = Images();
        Shut();
        Disks.Clear();
        Disks.AddRange(images);
        Open();
    }

    /// <summary>Exports, and has both judges look; mounts again.</summary>
    internal void Judge(bool zdb = true)
    {
        Shut();
        JudgeImages(Name, Disks, zdb);
        Open();
    }

    internal static void JudgeImages(string name, IReadOnlyList<MemoryVdevIo> disks, bool zdb = true)
    {
        using (PoolReader pool = PoolReader.Open(disks.Select(static d => d.Clone())))
        {
            Assert.Empty(PoolChecker.Run(pool).Findings);
            Assert.Equal(ListedMaps(pool), AllMaps(pool));
        }

        if (zdb && ZfsFuseTools.Missing is null)
        {
            InFolder(disks, folder =>
            {
                (int code, string output) = ZfsFuseTools.ZdbCheck(folder, name);
                Assert.True(Zdb.IsClean(code, output), $"zdb: exit {code}\n{output}");
            });
        }
    }

    /// <summary>The metaslab arrays of the vdevs and the space maps in them.</summary>
    private static SortedSet<ulong> ListedMaps(PoolReader pool)
    {
        var listed = new SortedSet<ulong>();
        foreach (Vdev v in pool.Vdevs.OfType<Vdev>())
        {
            OfflineDnode array = pool.Mos.ReadDnode(v.MetaslabArray);
            ulong entries = (array.Phys.MaxBlockId + 1) * (ulong)array.Phys.DataBlockSize / 8;
            listed.Add(v.MetaslabArray);
            listed.UnionWith(Enumerable.Range(0, (int)Math.Min(entries, (ulong)v.MetaslabCount)).Select(i => pool.Mos.ReadUInt64(array, (ulong)i * 8)));
        }

        listed.Remove(0);
        return listed;
    }

    /// <summary>All objects of these kinds that there are.</summary>
    private static SortedSet<ulong> AllMaps(PoolReader pool)
    {
        const int DnodesPerBlock = 32;
        IEnumerable<int> numbers = Enumerable.Range(1, (int)((pool.Mos.MetaDnode.Phys.MaxBlockId + 1) * DnodesPerBlock) - 1);
        return [.. numbers.Select(static n => (ulong)n).Where(n => pool.Mos.TryReadDnode(n)?.Phys.Type is DmuOt.SpaceMap or DmuOt.ObjectArray)];
    }

    /// <summary>Saves the images as files of a folder, runs an action on it, and loads what it made of them.</summary>
    internal static void InFolder(IReadOnlyList<MemoryVdevIo> disks, Action<string> action, List<MemoryVdevIo>? after = null)
    {
        string folder = Directory.CreateTempSubdirectory("zfslite-logdev-").FullName;
        try
        {
            for (int i = 0; i < disks.Count; i++)
            {
                using FileStream f = File.Create(Path.Combine(folder, $"{i}.img"));
                disks[i].Save(f);
            }

            action(folder);
            for (int i = 0; after is not null && i < disks.Count; i++)
            {
                using FileStream f = File.OpenRead(Path.Combine(folder, $"{i}.img"));
                after.Add(MemoryVdevIo.Load(f));
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    internal void Open(bool withoutLog = false)
    {
        _spa = Spa.Open(Disks, new SpaOpenOptions { WithoutLog = withoutLog });
        _os = _spa.OpenObjset(Name);
        Fs = Zfsvfs.Mount(_os, readOnly: false, AtimeMode.Off);
    }

    internal void Shut()
    {
        Spa spa = _spa!;
        _spa = null;
        Fs.Unmount();
        spa.CloseObjset(_os);
        spa.Close();
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

    private static byte[] Contents(string name, int length)
    {
        var data = new byte[length];
        byte[] text = Encoding.UTF8.GetBytes(name + "|");
        for (int i = 0; i < length; i++)
        {
            data[i] = (byte)(text[i % text.Length] + (i >> 12));
        }

        return data;
    }
}
