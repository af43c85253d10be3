using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Xunit;
using Xunit.Abstractions;

namespace ZfsLite.Tests.Mount;

/// <summary>Very many small files, very many names in one directory, very many holes in one file: they are there after a new mount, both
/// judges are content, and the daemon stays within its memory. A million of each with the long tests, fewer otherwise.</summary>
public sealed class CliManyTests(ITestOutputHelper output) : IDisposable
{
    private const int Million = 1_000_000;
    private const int Few = 10_000;
    private const int ArenaMiB = 64;
    private const int BesideArenaMiB = 150;
    private const int JudgeSecondsMax = 600;

    private readonly CliMount _m = new();

    public void Dispose() => _m.Dispose();

    [FuseFact]
    public void Small_files() => SmallFiles(Few, "256M");

    [FuseFact]
    public void Names_in_one_directory() => Names(Few, "256M");

    [FuseFact]
    public void Holes_in_one_file() => Holes(Few, "256M");

    [FuseFact]
    [Trait("Category", "stress")]
    public void A_million_small_files() => SmallFiles(Million, "8G");

    [FuseFact]
    [Trait("Category", "stress")]
    public void A_million_names_in_one_directory() => Names(Million, "4G");

    [FuseFact]
    [Trait("Category", "stress")]
    public void A_million_holes_in_one_file() => Holes(Million, "16G");

    private void SmallFiles(int count, string size)
    {
        Start(size);
        Step($"{count} files of 100 bytes, 1000 in a directory", () =>
        {
            for (int i = 0; i < count; i++)
            {
                string dir = $"{_m.Mnt}/d{i / 1000}";
                if (i % 1000 == 0)
                {
                    Directory.CreateDirectory(dir);
                }

                File.WriteAllText($"{dir}/f{i}", i.ToString(CultureInfo.InvariantCulture).PadLeft(100));
            }
        });
        Again();
        Step("all read", () =>
        {
            for (int i = 0; i < count; i++)
            {
                Assert.Equal(i, int.Parse(File.ReadAllText($"{_m.Mnt}/d{i / 1000}/f{i}"), NumberStyles.AllowLeadingWhite, CultureInfo.InvariantCulture));
            }
        });
        Step("all removed", () => Directory.Delete($"{_m.Mnt}/d0", recursive: true));
        End();
    }

    private void Names(int count, string size)
    {
        Start(size);
        string dir = $"{_m.Mnt}/dir";
        Directory.CreateDirectory(dir);
        Step($"{count} empty files in one directory", () =>
        {
            for (int i = 0; i < count; i++)
            {
                File.Create($"{dir}/name-{i:x8}").Dispose();
            }
        });
        Again();
        Step("listed", () => Assert.Equal(count, Directory.EnumerateFiles(dir).Distinct().Count()));
        Step("each found, in another order", () =>
        {
            for (int i = 0; i < count; i++)
            {
                Assert.True(File.Exists($"{dir}/name-{(int)(i * 7919L % count):x8}"));
            }
        });
        Step("every second one removed", () =>
        {
            for (int i = 0; i < count; i += 2)
            {
                File.Delete($"{dir}/name-{i:x8}");
            }
        });
        Assert.Equal(count / 2, Directory.EnumerateFiles(dir).Count());
        End();
    }

    private void Holes(int count, string size)
    {
        const int Block = 4096;
        Start(size, "-o", "recordsize=4K");
        string path = $"{_m.Mnt}/file";
        Step($"{count} blocks of {Block} bytes with a hole after each", () =>
        {
            using FileStream f = File.Create(path, 0);
            byte[] block = new byte[Block];
            for (long i = 0; i < count; i++)
            {
                BitConverter.TryWriteBytes(block, i);
                f.Position = i * 2 * Block;
                f.Write(block);
            }

            f.Flush(flushToDisk: true);
        });
        Again();
        Step("holes counted, every block read", () =>
        {
            Assert.Equal(((count * 2L) - 1) * Block, new FileInfo(path).Length);
            long blocks = long.Parse(_m.Shell($"stat -c %b {path}"), CultureInfo.InvariantCulture) * 512;
            Assert.InRange(blocks, (long)count * Block, (long)count * Block * 5 / 4);
            using FileStream f = File.OpenRead(path);
            byte[] block = new byte[Block];
            for (long i = 0; i < count; i++)
            {
                f.Position = i * 2 * Block;
                f.ReadExactly(block);
                Assert.Equal(i, BitConverter.ToInt64(block));
            }
        });
        Step("cut in the middle", () =>
        {
            using FileStream f = File.OpenWrite(path);
            f.SetLength((long)count * Block);
        });
        End();
    }

    private void Start(string size, params string[] more)
    {
        _m.Create(size, more);
        _m.Mount();
    }

    private void Again()
    {
        Step("unmounted and mounted again", () =>
        {
            _m.Unmount();
            _m.Mount();
        });
    }

    private void End()
    {
        Step("unmounted", _m.Unmount);
        Offline("zfslite check", () => _m.Files.RunProcess(["check", _m.Image], JudgeSecondsMax) is { ExitCode: 0, Error: "", Output: var verdict } ? verdict : null);
        Offline("zdb -bcc", () => _m.ZdbIsContent("tank") is { } verdict ? string.Join(", ", verdict.Split('\n').Where(static l => l.Contains("No leaks", StringComparison.Ordinal))) : "not installed");
    }

    private void Step(string what, Action action)
    {
        var clock = Stopwatch.StartNew();
        action();
        double seconds = clock.Elapsed.TotalSeconds;
        if (!File.ReadAllText("/proc/self/mounts").Contains($" {_m.Mnt} ", StringComparison.Ordinal))
        {
            output.WriteLine($"{what}: {seconds:0.0} s; the pool's file takes {_m.Shell($"du -m {_m.Image} | cut -f1")} MiB");
            return;
        }

        JsonElement kmem = JsonDocument.Parse(_m.Ok("kmem", _m.Mnt, "--json")).RootElement;
        long pss = kmem.GetProperty("pss").GetInt64() >> 20;
        long arenaPeak = (kmem.GetProperty("arena").GetInt64() >> 20) - (kmem.GetProperty("counters").GetProperty("lowest_free_pages").GetInt64() >> 8);
        output.WriteLine($"{what}: {seconds:0.0} s; daemon {pss} MiB (Pss), arena {arenaPeak} of {ArenaMiB} MiB at most");
        Assert.InRange(pss, 1, ArenaMiB + BesideArenaMiB);
    }

    private void Offline(string judge, Func<string?> judges)
    {
        var clock = Stopwatch.StartNew();
        string? verdict = judges();
        output.WriteLine($"{judge}: {clock.Elapsed.TotalSeconds:0.0} s: {verdict?.Trim()}");
        Assert.NotNull(verdict);
    }
}
