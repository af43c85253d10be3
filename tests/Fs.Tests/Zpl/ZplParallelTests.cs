using System.Text;
using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Many threads in the same few directories: nothing hangs, nothing breaks, and the pool is clean afterwards.</summary>
public sealed class ZplParallelTests
{
    [Fact]
    public void Names_in_shared_directories_stay_consistent()
    {
        Backends.Run(() =>
        {
            using var p = new ZplPool(AtimeMode.On);
            ulong[] dirs = [p.RootDir, p.MakeDir(p.RootDir, "a"), p.MakeDir(p.RootDir, "b"), 0];
            dirs[3] = p.MakeDir(dirs[1], "c");
            int unexpected = 0;
            string what = "";
            var threads = new Kthread[6];
            for (int t = 0; t < threads.Length; t++)
            {
                int seed = t;
                threads[t] = Kthread.Start($"names/{t}", () =>
                {
                    var random = new Random(seed);
                    for (int i = 0; i < (Backends.IsSim ? 40 : 800); i++)
                    {
                        int error = Step(p, dirs, random, out string name);
                        if (!IsExpected(error))
                        {
                            what = $"{name}: {error}";
                            Katomic.Increment(ref unexpected);
                        }
                    }
                });
            }

            foreach (Kthread t in threads)
            {
                t.Join();
            }

            Assert.True(unexpected == 0, what);
            p.Judge();
        }, seeds: 6, timeoutMs: 120_000);
    }

    [Fact]
    public void Writers_readers_and_truncation_of_one_file_are_atomic()
    {
        Backends.Run(() =>
        {
            using var p = new ZplPool(recordSize: 4096);
            ulong file = p.Make(p.RootDir, "f");
            const int Length = 20_000;
            int torn = 0;
            var threads = new Kthread[5];
            for (int t = 0; t < threads.Length; t++)
            {
                byte fill = (byte)(t + 1);
                threads[t] = Kthread.Start($"data/{t}", () =>
                {
                    byte[] data = new byte[Length];
                    Array.Fill(data, fill);
                    for (int i = 0; i < (Backends.IsSim ? 5 : 60); i++)
                    {
                        if (fill == 5)
                        {
                            Assert.Equal(0, p.Truncate(file, 0));
                            continue;
                        }

                        Assert.Equal(0, p.Write(file, 0, data));
                        byte[] got = p.Read(file, 0, Length);
                        if (got.Length is not (0 or Length) || (got.Length > 0 && got.AsSpan().ContainsAnyExcept(got[0])))
                        {
                            Katomic.Increment(ref torn);
                        }
                    }
                });
            }

            foreach (Kthread t in threads)
            {
                t.Join();
            }

            Assert.Equal(0, torn);
            p.Judge();
        }, seeds: 6, timeoutMs: 120_000);
    }

    [OsFact]
    public void Whatever_moment_the_power_fails_the_pool_is_consistent()
    {
        Backends.Run(() =>
        {
            using var p = new ZplPool(AtimeMode.On);
            var random = new Random(77);
            for (int round = 0; round < 8; round++)
            {
                ulong[] dirs = [p.RootDir, Directory(p, p.RootDir, "a"), Directory(p, p.RootDir, "b")];
                for (int i = 0; i < 400; i++)
                {
                    int error = Step(p, dirs, random, out string what);
                    Assert.True(IsExpected(error), $"{what}: {error}");
                    if (i % 100 == 50)
                    {
                        p.Spa.Txg.Kick();
                    }
                }

                p.Spa.Txg.Kick();
                Kthread.Sleep(random.Next(5_000_000));
                p.Crash();
                p.Judge();
            }
        }, timeoutMs: 180_000);
    }

    private static ulong Directory(ZplPool p, ulong parent, string name)
    {
        int error = p.TryMake(parent, name, 0x41ED);
        return error is 0 or Errno.EEXIST && (p.Stat(p.Find(parent, name)).Mode & 0xF000) == 0x4000 ? p.Find(parent, name) : parent;
    }

    private static bool IsExpected(int error) => error is 0 or Errno.ENOENT or Errno.EEXIST or Errno.ENOTEMPTY or Errno.EINVAL
        or Errno.EISDIR or Errno.ENOTDIR or Errno.ESTALE or Errno.EPERM or Errno.ENODATA;

    private static unsafe int Step(ZplPool p, ulong[] dirs, Random random, out string what)
    {
        ulong dir = dirs[random.Next(dirs.Length)];
        ulong other = dirs[random.Next(dirs.Length)];
        string name = "n" + random.Next(12);
        string newName = "n" + random.Next(12);
        byte[] bytes = Encoding.UTF8.GetBytes(name);
        switch (random.Next(9))
        {
            case 0:
                what = "create";
                return p.TryMake(dir, name);
            case 1:
                what = "mkdir";
                return p.TryMake(dir, name, 0x41ED);
            case 2:
                what = "unlink";
                return p.Unlink(dir, name);
            case 3:
                what = "rmdir";
                return p.Rmdir(dir, name);
            case 4 or 5:
                what = "rename";
                return p.Rename(dir, name, other, newName, (uint)random.Next(3));
            case 6:
                what = "link";
                int error = p.Fs.Lookup(dir, bytes, out ZnodeAttr attr);
                return error != 0 ? error : p.Link(attr.Object, other, newName);
            case 7:
                what = "write and close";
                error = p.Fs.Lookup(dir, bytes, out attr);
                if (error != 0 || (error = p.Fs.Open(attr.Object, false)) != 0)
                {
                    return error;
                }

                byte* data = stackalloc byte[100];
                error = p.Fs.Write(attr.Object, (ulong)random.Next(5000), 100, data, ZplWriteFlags.None, out _);
                p.Fs.Read(attr.Object, 0, 100, data, out _);
                return Math.Max(error, p.Fs.Close(attr.Object));
            default:
                what = "xattr";
                error = p.Fs.Lookup(dir, bytes, out attr);
                return error != 0 ? error : p.SetXattr(attr.Object, "user.x", bytes);
        }
    }
}
