using System.Text;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>
/// The power fails in the middle of a busy pool, again and again, with any part of the unflushed writes lost: what is left
/// is each time a whole pool, to the last account.
/// </summary>
public sealed unsafe class CrashConsistencyTests
{
    private static readonly Cred s_root = new(0, 0);

    [Theory]
    [InlineData(9, 1)]
    [InlineData(12, 2)]
    public void Whatever_a_crash_leaves_is_a_clean_pool(int ashift, int seed) => Backends.Run(() =>
    {
        (int crashes, int txgs, List<string> errors) = Run(ashift, seed, lyingDisk: false);
        Assert.True(errors.Count == 0, string.Join('\n', errors.Take(10)));
        Assert.True(crashes >= 15 && txgs >= 4, $"only {crashes} crashes, in {txgs} txgs");
    });

    [Fact]
    public void A_disk_that_lies_about_flushes_does_break_pools() =>
        Backends.Run(() => Assert.NotEmpty(Run(9, 3, lyingDisk: true).Errors));

    private static (int Crashes, int Txgs, List<string> Errors) Run(int ashift, int seed, bool lyingDisk)
    {
        using var kmem = new KmemScope(48 << 20) { Failed = true };
        var random = new Random(seed);
        var blank = new MemoryVdevIo(96 << 20);
        _ = PoolFormatter.Format([blank], new PoolCreateOptions { Name = "tank", Ashift = ashift, RecordSize = 16384, GuidSeed = 1 });
        var disk = new SimVdevIo(blank, (ulong)seed) { LiesAboutFlush = lyingDisk };
        var images = new List<(MemoryVdevIo Image, long At)>();
        long next = 5;
        disk.BeforeChange = d =>
        {
            long at = d.WriteCount + d.FlushCount;
            if (at >= next && images.Count < 40)
            {
                images.Add((d.CrashImage((ulong)(seed * 1000) + (ulong)images.Count), at));
                next = at + 1 + ((at * 7919) % 23);
            }
        };
        Spa spa = Spa.Open([disk], new SpaOpenOptions());
        Objset os = spa.OpenObjset("tank");
        Zfsvfs fs = Zfsvfs.Mount(os, false, AtimeMode.Off);
        var model = new Workload(fs, random);
        for (int round = 0; round < 12; round++)
        {
            for (int i = 0; i < 40; i++)
            {
                model.Step();
            }

            Assert.Equal(0, spa.Sync());
        }

        fs.Unmount();
        spa.CloseObjset(os);
        spa.Close();
        images.Add((disk.CurrentImage(), long.MaxValue));
        kmem.Failed = false;
        (int txgs, List<string> errors) = Judge(images);
        return (images.Count - 1, txgs, errors);
    }

    /// <summary>Checks every image. A crash may catch a label half written; all else is an error.</summary>
    private static (int Txgs, List<string> Errors) Judge(List<(MemoryVdevIo Image, long At)> images)
    {
        var txgs = new HashSet<ulong>();
        var errors = new List<string>();
        foreach ((MemoryVdevIo image, long at) in images)
        {
            try
            {
                using PoolReader pool = PoolReader.Open([image]);
                _ = txgs.Add(pool.Uberblock.Txg);
                errors.AddRange(PoolChecker.Run(pool).Findings
                    .Where(f => f.Severity == CheckSeverity.Error && (at == long.MaxValue || !f.Message.Contains("label", StringComparison.Ordinal)))
                    .Select(f => $"crash before I/O {at}, txg {pool.Uberblock.Txg}: {f}"));
            }
            catch (ZfsException e)
            {
                errors.Add($"crash before I/O {at}: {e.Message}");
            }
        }

        return (txgs.Count, errors);
    }

    /// <summary>Random changes: files, directories, links, names, sizes, attributes.</summary>
    private sealed class Workload(Zfsvfs fs, Random random)
    {
        private readonly List<(ulong Dir, string Name, ulong Object)> _files = [];
        private readonly List<ulong> _dirs = [fs.RootObject];
        private int _serial;

        internal void Step()
        {
            ulong dir = _dirs[random.Next(_dirs.Count)];
            string name = $"{(random.Next(4) == 0 ? new string('n', 60) : "f")}{_serial++}";
            int pick = random.Next(10);
            if (pick < 3 || _files.Count == 0)
            {
                bool isDir = random.Next(5) == 0;
                uint mode = isDir ? 0x41EDu : random.Next(6) == 0 ? 0xA1FFu : 0x81A4u;
                byte[] target = mode == 0xA1FF ? Encoding.UTF8.GetBytes(new string('t', random.Next(1, 200))) : [];
                Assert.Equal(0, fs.Create(s_root, dir, Encoding.UTF8.GetBytes(name), mode, 0, target, out ZnodeAttr attr));
                if (isDir)
                {
                    _dirs.Add(attr.Object);
                }
                else if (mode == 0x81A4)
                {
                    _files.Add((dir, name, attr.Object));
                }

                return;
            }

            int at = random.Next(_files.Count);
            (ulong inDir, string old, ulong obj) = _files[at];
            switch (pick)
            {
                case 3 or 4 or 5:
                    Write(obj);
                    break;
                case 6:
                    Assert.Equal(0, fs.Unlink(inDir, Encoding.UTF8.GetBytes(old)));
                    _files.RemoveAt(at);
                    break;
                case 7:
                    Assert.Equal(0, fs.Rename(s_root, inDir, Encoding.UTF8.GetBytes(old), dir, Encoding.UTF8.GetBytes(name), 0));
                    _files[at] = (dir, name, obj);
                    break;
                case 8:
                    Assert.Equal(0, fs.SetAttr(s_root, obj, SetAttrMask.Size, new ZnodeAttr { Size = (ulong)random.Next(200000) }, out _));
                    break;
                default:
                    Assert.Equal(0, fs.SetXattr(s_root, obj, Encoding.UTF8.GetBytes($"user.a{random.Next(3)}"), new byte[random.Next(1, 900)], 0));
                    break;
            }
        }

        private void Write(ulong obj)
        {
            var data = new byte[random.Next(1, 60000)];
            if (random.Next(3) > 0)
            {
                random.NextBytes(data);
            }

            fixed (byte* p = data)
            {
                Assert.Equal(0, fs.Write(obj, (ulong)random.Next(300000), data.Length, p, ZplWriteFlags.None, out int done));
                Assert.Equal(data.Length, done);
            }
        }
    }
}
