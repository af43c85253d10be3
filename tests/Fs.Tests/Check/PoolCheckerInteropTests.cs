using System.IO.Compression;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Pools that the other implementation changed a moment ago.</summary>
[Trait("Backend", "os")]
public sealed class PoolCheckerInteropTests : IDisposable
{
    private readonly KmemScope _kmem = new(64 << 20);

    public void Dispose() => _kmem.Dispose();

    [ZfsFuseFact]
    public void A_log_that_was_claimed_and_not_replayed_is_clean()
    {
        using var dir = new TempImage("goldd", "d0.img.gz");
        using (ZfsFuse z = ZfsFuse.Start())
        {
            // Where nothing can be mounted the pool is imported and its log claimed, and that is all.
            _ = ZfsFuseTools.Run("zpool", 60, "import", "-f", "-R", "/proc/self/nowhere", "-o", "cachefile=none", "-d", dir.Folder, "goldd");
            z.Export("goldd");
        }

        using PoolReader pool = PoolReader.Open([dir.Load()]);
        ZilHeader zil = pool.OpenObjset(pool.Datasets().First()).Phys.ZilHeader;
        Assert.NotEqual(0UL, zil.ClaimTxg);
        Assert.False(zil.Log.IsHole);
        Assert.Empty(PoolChecker.Run(pool).Findings);
    }

    [ZfsFuseFact]
    public void A_log_that_was_replayed_leaves_a_clean_pool_with_what_was_logged()
    {
        using var dir = new TempImage("goldd", "d0.img.gz");
        using (ZfsFuse z = ZfsFuse.Start())
        {
            z.Import(dir.Folder, "goldd", force: true);
            z.Export("goldd");
        }

        using PoolReader pool = PoolReader.Open([dir.Load()]);
        Assert.Empty(PoolChecker.Run(pool).Findings);
        OfflineZpl zpl = pool.OpenFileSystem(pool.Datasets().First());
        Assert.Equal(16, zpl.Tree().Count());
    }

    /// <summary>A copy of an image in a folder of its own.</summary>
    private sealed class TempImage : IDisposable
    {
        internal TempImage(string pool, string image)
        {
            Folder = Directory.CreateTempSubdirectory("disk-interop-").FullName;
            using var gz = new GZipStream(File.OpenRead(Path.Combine(GoldenPools.Folder(pool), image)), CompressionMode.Decompress);
            using FileStream file = File.Create(Path.Combine(Folder, "d0.img"));
            gz.CopyTo(file);
        }

        internal string Folder { get; }

        public void Dispose() => Directory.Delete(Folder, recursive: true);

        internal MemoryVdevIo Load()
        {
            using FileStream file = File.OpenRead(Path.Combine(Folder, "d0.img"));
            return MemoryVdevIo.Load(file);
        }
    }
}
