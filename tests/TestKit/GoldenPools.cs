using System.IO.Compression;
using ZfsLite.Fs;

namespace ZfsLite.TestKit;

/// <summary>Pools written by another implementation: some in the repository, the larger ones beside it (../shared/golden).</summary>
public static class GoldenPools
{
    /// <summary>The folder of a pool, or null if it is not here.</summary>
    public static string? Find(string pool)
    {
        for (DirectoryInfo? d = new(AppContext.BaseDirectory); d is not null; d = d.Parent)
        {
            foreach (string candidate in (string[])[Path.Combine(d.FullName, "tests", "golden", pool), Path.Combine(d.FullName, "shared", "golden", pool)])
            {
                if (Directory.Exists(candidate))
                {
                    return candidate;
                }
            }
        }

        return Environment.GetEnvironmentVariable("ZFSLITE_GOLDEN") is { } root && Directory.Exists(Path.Combine(root, pool))
            ? Path.Combine(root, pool)
            : null;
    }

    /// <summary>The folder of a pool.</summary>
    public static string Folder(string pool) => Find(pool) ?? throw new DirectoryNotFoundException($"golden pool {pool}");

    /// <summary>An image in memory.</summary>
    public static MemoryVdevIo Load(string pool, string image)
    {
        string path = Path.Combine(Folder(pool), image);
        using var gz = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        return MemoryVdevIo.Load(gz, path);
    }

    /// <summary>All images of a pool in memory, in order of name.</summary>
    public static MemoryVdevIo[] LoadAll(string pool) =>
        [.. Directory.GetFiles(Folder(pool), "*.img.gz").Order(StringComparer.Ordinal).Select(f => Load(pool, Path.GetFileName(f)))];
}
