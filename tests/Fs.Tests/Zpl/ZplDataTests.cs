using Xunit;

namespace ZfsLite.Fs.Tests;

/// <summary>Contents of files: block sizes, holes, truncation, limits.</summary>
[Trait("Backend", "os")]
public sealed class ZplDataTests
{
    [Theory]
    [InlineData(131072)]
    [InlineData(4096)]
    [InlineData(512)]
    public void Random_writes_and_truncations_read_back(int recordSize)
    {
        using var p = new ZplPool(recordSize: recordSize);
        int max = recordSize * 12;
        var random = new Random(recordSize);
        ulong file = p.Make(p.RootDir, "f");
        var model = new byte[max * 2];
        int size = 0;
        for (int step = 0; step < 250; step++)
        {
            int at = random.Next(max);
            int length = 1 + random.Next(random.Next(3) == 0 ? recordSize * 3 : 700);
            switch (random.Next(8))
            {
                case 0:
                    int cut = random.Next(max);
                    Assert.Equal(0, p.Truncate(file, (ulong)cut));
                    Array.Clear(model, Math.Min(cut, size), Math.Abs(size - cut));
                    size = cut;
                    break;
                case 1:
                    int end = Math.Min(size, at + length);
                    Assert.Equal(0, p.Fs.Fallocate(file, 3, (ulong)at, (ulong)length));
                    if (end > at)
                    {
                        Array.Clear(model, at, end - at);
                    }

                    break;
                default:
                    byte[] data = ZplBasicTests.RandomBytes(step, length);
                    Assert.Equal(0, p.Write(file, (ulong)at, data));
                    data.CopyTo(model, at);
                    size = Math.Max(size, at + length);
                    break;
            }

            if (step % 50 == 49)
            {
                p.Remount();
            }

            Assert.Equal((ulong)size, p.Stat(file).Size);
            if (step % 10 == 0)
            {
                Assert.True(model.AsSpan(0, size).SequenceEqual(p.Read(file)), $"contents differ at step {step}");
            }
        }

        p.Judge();
        Assert.True(model.AsSpan(0, size).SequenceEqual(p.Read(file)));
    }

    [Theory]
    [InlineData(1, 512)]
    [InlineData(513, 1024)]
    [InlineData(70_000, 70_144)]
    [InlineData(131_072, 131_072)]
    [InlineData(131_073, 131_072)]
    [InlineData(1_000_000, 131_072)]
    public void The_block_grows_with_the_file_up_to_the_record_size(int size, int blockSize)
    {
        using var p = new ZplPool();
        ulong whole = p.Make(p.RootDir, "whole");
        ulong pieces = p.Make(p.RootDir, "pieces");
        byte[] data = ZplBasicTests.RandomBytes(size, size);
        Assert.Equal(0, p.Write(whole, 0, data));
        for (int at = 0; at < size; at += 5000)
        {
            Assert.Equal(0, p.Write(pieces, (ulong)at, data.AsSpan(at, Math.Min(5000, size - at))));
        }

        p.ReadOffline(zpl =>
        {
            Assert.Equal(blockSize, zpl.Objset.ReadDnode(whole).Phys.DataBlockSize);
            Assert.Equal(blockSize, zpl.Objset.ReadDnode(pieces).Phys.DataBlockSize);
        });
        Assert.Equal(data, p.Read(whole));
        Assert.Equal(data, p.Read(pieces));
    }

    [Fact]
    public void Sparse_files_store_only_what_is_written()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "sparse");
        const ulong Tib = 1UL << 40;
        Assert.Equal(0, p.Write(file, Tib - 3, "end"u8));
        Assert.Equal(Tib, p.Stat(file).Size);
        Assert.Equal(0, p.Fs.SyncFs());
        Assert.InRange(p.Stat(file).Blocks, 1UL, 1000UL);
        Assert.Equal("end"u8.ToArray(), p.Read(file, Tib - 3, 10));
        Assert.All(p.Read(file, 1UL << 39, 4096), b => Assert.Equal(0, b));
        Assert.Equal(0, p.Fs.Seek(file, 3, 0, out ulong data));
        Assert.InRange(data, Tib - 131072, Tib - 3);
        Assert.Equal(0, p.Fs.Seek(file, 4, 5, out ulong hole));
        Assert.Equal(5UL, hole);
        Assert.Equal(0, p.Fs.Seek(file, 4, Tib - 3, out hole));
        Assert.Equal(Tib, hole);
        Assert.Equal(Errno.ENXIO, p.Fs.Seek(file, 3, Tib, out _));
        p.Judge();
        Assert.Equal(0, p.Truncate(file, 10));
        Assert.Equal(Errno.ENXIO, p.Fs.Seek(file, 3, 0, out _));
        Assert.Equal(0, p.Unlink(p.RootDir, "sparse"));
        p.Judge();
    }

    [Fact]
    public void Data_not_yet_synced_is_no_hole()
    {
        using var p = new ZplPool(recordSize: 4096);
        ulong file = p.Make(p.RootDir, "f");
        Assert.Equal(0, p.Truncate(file, 8 << 20));
        Assert.Equal(0, p.Fs.SyncFs());
        Assert.Equal(0, p.Write(file, 3 << 20, new byte[] { 1 }));
        Assert.Equal(0, p.Fs.Seek(file, 3, 0, out ulong data));
        Assert.Equal(3UL << 20, data);
        Assert.Equal(0, p.Fs.Seek(file, 4, data, out ulong hole));
        Assert.Equal((3UL << 20) + 4096, hole);
        Assert.Equal(Errno.ENXIO, p.Fs.Seek(file, 3, hole, out _));
    }

    [Fact]
    public void Offsets_beyond_the_limit_are_too_big()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f");
        Assert.Equal(Errno.EFBIG, p.Write(file, long.MaxValue, "x"u8));
        Assert.Equal(Errno.EFBIG, p.Write(file, ulong.MaxValue, "x"u8));
        Assert.Equal(Errno.EFBIG, p.Truncate(file, 1UL << 63));
        Assert.Equal(Errno.EFBIG, p.Fs.Fallocate(file, 0, long.MaxValue, 1));
        Assert.Equal(0, p.Truncate(file, long.MaxValue));
        Assert.Equal((ulong)long.MaxValue, p.Stat(file).Size);
        Assert.Equal(0, p.Write(file, long.MaxValue - 1, "x"u8));
        Assert.Equal("x"u8.ToArray(), p.Read(file, long.MaxValue - 1, 10));
        p.Judge();
        Assert.Equal(0, p.Unlink(p.RootDir, "f"));
        p.Judge();
    }

    [Fact]
    public void Bytes_past_a_truncation_are_gone_for_good()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f");
        Assert.Equal(0, p.Write(file, 0, ZplBasicTests.RandomBytes(1, 5000)));
        Assert.Equal(0, p.Truncate(file, 100));
        Assert.Equal(0, p.Truncate(file, 5000));
        byte[] got = p.Read(file);
        Assert.Equal(5000, got.Length);
        Assert.All(got.AsSpan(100).ToArray(), b => Assert.Equal(0, b));
        Assert.Equal(0, p.Fs.Open(file, true));
        Assert.Equal(0UL, p.Stat(file).Size);
        Assert.Equal(0, p.Fs.Close(file));
    }

    [Fact]
    public void Fallocate_knows_its_modes()
    {
        using var p = new ZplPool();
        ulong file = p.Make(p.RootDir, "f");
        Assert.Equal(0, p.Fs.Fallocate(file, 0, 1000, 500));
        Assert.Equal(1500UL, p.Stat(file).Size);
        Assert.Equal(0, p.Fs.Fallocate(file, 1, 1000, 5000));
        Assert.Equal(1500UL, p.Stat(file).Size);
        Assert.Equal(0, p.Write(file, 0, ZplBasicTests.RandomBytes(1, 1500)));
        Assert.Equal(0, p.Fs.Fallocate(file, 16, 1400, 200));
        Assert.Equal(1600UL, p.Stat(file).Size);
        Assert.All(p.Read(file, 1400, 200), b => Assert.Equal(0, b));
        Assert.Equal(0, p.Fs.Fallocate(file, 17, 0, 1 << 20));
        Assert.Equal(1600UL, p.Stat(file).Size);
        Assert.All(p.Read(file), b => Assert.Equal(0, b));
        Assert.Equal(Errno.EOPNOTSUPP, p.Fs.Fallocate(file, 2, 0, 10));
        Assert.Equal(Errno.EOPNOTSUPP, p.Fs.Fallocate(file, 8, 0, 10));
        Assert.Equal(Errno.EINVAL, p.Fs.Fallocate(file, 0, 0, 0));
        Assert.Equal(Errno.ENOSPC, p.Fs.Fallocate(file, 0, 0, 1UL << 40));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_a_deletion_frees_can_be_written_at_once(bool truncate)
    {
        using var p = new ZplPool(diskBytes: 96 << 20);
        byte[] chunk = ZplBasicTests.RandomBytes(5, 1 << 20);
        ulong fresh = p.Make(p.RootDir, "fresh");
        var files = new List<(string Name, int Chunks)>();
        int error = 0;
        while (error == 0)
        {
            string name = "f" + files.Count;
            ulong file = p.Make(p.RootDir, name);
            int n = 0;
            while (n < 10 && (error = p.Write(file, (ulong)n << 20, chunk)) == 0)
            {
                n++;
            }

            files.Add((name, n));
        }

        Assert.Equal(Errno.ENOSPC, error);
        Assert.True(files.Count > 4, $"{files.Count} files");
        Assert.Equal(0, p.Spa.Sync());
        Assert.Equal(Errno.ENOSPC, p.Write(fresh, 0, ZplBasicTests.RandomBytes(6, 4 << 20)));
        Assert.Equal(0, p.Spa.Sync());
        for (int i = 0; i < 3; i++)
        {
            // No txg is synced in between by anybody but the writer that needs it.
            Assert.Equal(0, truncate ? p.Truncate(p.Find(p.RootDir, files[i].Name), 1 << 20) : p.Unlink(p.RootDir, files[i].Name));
            for (int k = 0; k < files[i].Chunks - 3; k++)
            {
                Assert.Equal(0, p.Write(fresh, (ulong)((i * 10) + k) << 20, chunk));
            }
        }

        p.Judge();
    }

    [Fact]
    public void A_full_pool_says_ENOSPC_keeps_what_it_has_and_can_be_emptied()
    {
        using var p = new ZplPool(diskBytes: 96 << 20);
        ulong file = p.Make(p.RootDir, "big");
        byte[] chunk = ZplBasicTests.RandomBytes(7, 1 << 20);
        int written = 0;
        while (p.Write(file, (ulong)written << 20, chunk) == 0)
        {
            written++;
            Assert.True(written < 96);
        }

        Assert.Equal(Errno.ENOSPC, p.Write(file, (ulong)written << 20, chunk));
        Assert.True(written > 20);
        p.Judge();
        Assert.Equal(chunk, p.Read(file, (ulong)(written - 1) << 20, 1 << 20));
        Assert.Equal(0, p.Unlink(p.RootDir, "big"));
        Assert.Equal(0, p.Fs.SyncFs());
        Assert.Equal(0, p.Fs.SyncFs());
        Assert.Equal(0, p.Fs.SyncFs());
        ulong again = p.Make(p.RootDir, "again");
        Assert.Equal(0, p.Write(again, 0, chunk));
        p.Judge();
        Assert.Equal(chunk, p.Read(again));
    }
}
