using System.Text;
using Xunit;
using ZfsLite.Kmem;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>A log that ZfsLite left behind, before the other implementation and its judge.</summary>
[Trait("Backend", "os")]
public sealed class ZilInteropTests
{
    [ZfsFuseFact]
    public void Zfs_fuse_replays_a_log_of_ours_to_the_same_files_as_we_do()
    {
        MemoryVdevIo image;
        List<string> expected;
        using (var p = new ZplPool())
        {
            ZilTests.ChangeEverything(p, out _);
            image = p.CrashImage();
            expected = Offline(p.CrashImage(), replay: true);
        }

        Assert.DoesNotContain(expected, static line => line.StartsWith("/gone", StringComparison.Ordinal));
        Assert.Contains(expected, static line => line.StartsWith("/dir/a too", StringComparison.Ordinal));
        string folder = Directory.CreateTempSubdirectory("zfslite-zil-").FullName;
        try
        {
            string path = Path.Combine(folder, "d0.img");
            Save(image, path);
            using (ZfsFuse z = ZfsFuse.Start())
            {
                z.Import(folder, "tank", force: true);
                z.Export("tank");
            }

            using FileStream file = File.OpenRead(path);
            using var kmem = new KmemScope(64 << 20);
            Assert.Equal(string.Join("\n", expected), string.Join("\n", Offline(MemoryVdevIo.Load(file), replay: false)));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [ZfsFuseFact]
    public void A_log_that_is_not_replayed_is_no_leak_to_zdb_nor_to_our_own_check()
    {
        MemoryVdevIo image;
        using (var p = new ZplPool())
        {
            ZilTests.ChangeEverything(p, out _);
            image = p.CrashImage();
        }

        using (var kmem = new KmemScope(64 << 20))
        using (PoolReader pool = PoolReader.Open([image.Clone()]))
        {
            Assert.False(pool.OpenFileSystem(pool.Datasets().First()).Objset.Phys.ZilHeader.Log.IsHole);
            Assert.Empty(PoolChecker.Run(pool).Findings);
        }

        string folder = Directory.CreateTempSubdirectory("zfslite-zil-").FullName;
        try
        {
            Save(image, Path.Combine(folder, "d0.img"));
            (int code, string output) = ZfsFuseTools.ZdbCheck(folder, "tank");
            Assert.True(code == 0 && output.Contains("No leaks", StringComparison.Ordinal), $"zdb: exit {code}\n{output}");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>The tree of an image as the offline reader sees it, after our own replay or as it is.</summary>
    private static List<string> Offline(MemoryVdevIo disk, bool replay)
    {
        var lines = new List<string>();
        if (replay)
        {
            Spa spa = Spa.Open([disk], new SpaOpenOptions());
            Objset os = spa.OpenObjset("tank");
            Zfsvfs fs = Zfsvfs.Mount(os, readOnly: false, AtimeMode.Off);
            Assert.True(fs.LogStats.Replayed > 0);
            fs.Unmount();
            spa.CloseObjset(os);
            spa.Close();
        }

        using PoolReader pool = PoolReader.Open([disk]);
        OfflineZpl zpl = pool.OpenFileSystem(pool.Datasets().First(static d => d.Name == "tank"));
        foreach (var entry in zpl.Tree())
        {
            ZnodePhys z = zpl.ReadZnode(entry.Object);
            string contents = (z.Mode & 0xF000) switch
            {
                0x8000 => Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(Contents(zpl, entry.Object, z.Size))),
                0xA000 => zpl.ReadLink(entry.Object),
                _ => "",
            };
            string xattrs = string.Join(' ', zpl.ReadXattrs(entry.Object).Select(static x => $"{x.Key}={x.Value.Length}"));
            lines.Add($"{entry.Path} {entry.Object} gen {z.Generation} {z.Mode:x} {z.Links} {z.Uid}:{z.Gid} {z.Size} {z.Rdev:x} born {z.CrtimeSeconds}.{z.CrtimeNanoseconds} {contents} {xattrs}");
        }

        lines.Sort(StringComparer.Ordinal);
        return lines;
    }

    private static byte[] Contents(OfflineZpl zpl, ulong obj, ulong size)
    {
        var data = new byte[size];
        zpl.ReadFile(obj, 0, data);
        return data;
    }

    private static void Save(MemoryVdevIo image, string path)
    {
        using FileStream f = File.Create(path);
        image.Save(f);
    }
}
