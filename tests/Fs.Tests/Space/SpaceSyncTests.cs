using Xunit;
using ZfsLite.Kmem;
using ZfsLite.TestKit;
using ZfsLite.Txn;

namespace ZfsLite.Fs.Tests;

/// <summary>Allocator, space maps and pipeline under a whole pool: many txgs of writes and frees, judged by zdb and by a second open.</summary>
[Trait("Backend", "os")]
public sealed unsafe class SpaceSyncTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("zfslite-space-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [ZfsFuseTheory]
    [InlineData(9, 1)]
    [InlineData(12, 1)]
    [InlineData(9, 3)]
    public void After_every_export_zdb_finds_no_leak(int ashift, int devices)
    {
        using var kmem = new KmemScope(64 << 20);
        Create(ashift, devices);
        for (int round = 0; round < 3; round++)
        {
            long allocated = Churn(round, txgs: 12);
            (int code, string output) = ZfsFuseTools.ZdbCheck(_folder, "tank");
            Assert.True(code == 0 && output.Contains("No leaks", StringComparison.Ordinal), $"round {round}: zdb: exit {code}\n{output}");
            Assert.Contains($"SPA allocated:{allocated,11}", output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Space_maps_that_grow_are_written_afresh_and_still_replay()
    {
        using var kmem = new KmemScope(64 << 20);
        Create(9, 1);
        using (var open = new OpenPool(_folder))
        {
            for (int i = 0; i < 200 && open.Spa.Allocator.Condensed == 0; i++)
            {
                open.Churn(i, 40);
            }

            Assert.True(open.Spa.Allocator.Condensed > 0, $"no map of {open.Spa.Allocator.GetMetaslabStats().Max(static m => m.SpaceMapBytes)} bytes was condensed");
            Assert.InRange(open.Spa.LastPasses, 1, 12);
        }

        using var again = new OpenPool(_folder);
        foreach (MetaslabStat m in again.Spa.Allocator.GetMetaslabStats())
        {
            Assert.Null(again.Spa.Allocator.LoadForTest(m.Vdev, m.Index));
        }

        again.Dispose();
        if (ZfsFuseTools.Missing is null)
        {
            Assert.Equal(0, ZfsFuseTools.ZdbCheck(_folder, "tank").ExitCode);
        }
    }

    [ZfsFuseFact]
    public void A_pool_filled_to_ENOSPC_can_be_emptied_and_filled_again()
    {
        using var kmem = new KmemScope(64 << 20);
        Create(9, 1);
        using (var open = new OpenPool(_folder))
        {
            for (int round = 0; round < 3; round++)
            {
                int blocks = open.Fill();
                Assert.False(open.Spa.IsSuspended, open.Spa.SuspendReason);
                Assert.InRange(blocks, 250, 1000);
                open.Empty();
                Assert.False(open.Spa.IsSuspended, open.Spa.SuspendReason);
            }
        }

        (int code, string output) = Zdb.Check(_folder, "tank");
        Assert.True(Zdb.IsClean(code, output), output);
    }

    private long Churn(int round, int txgs)
    {
        using var open = new OpenPool(_folder);
        for (int i = 0; i < txgs; i++)
        {
            open.Churn((round * 100) + i, 30);
        }

        open.Dispose();
        return open.AllocatedAtClose;
    }

    private void Create(int ashift, int devices)
    {
        FileVdevIo[] ios = new FileVdevIo[devices];
        for (int i = 0; i < devices; i++)
        {
            string path = Path.Combine(_folder, $"d{i}.img");
            File.WriteAllBytes(path, []);
            using (FileStream f = File.OpenWrite(path))
            {
                f.SetLength(96 << 20);
            }

            ios[i] = FileVdevIo.Open(path, readOnly: false);
        }

        PoolFormatter.Format(ios, new PoolCreateOptions { Name = "tank", Ashift = ashift, GuidSeed = 3 });
        foreach (FileVdevIo io in ios)
        {
            io.Dispose();
        }
    }

    private sealed class OpenPool : IDisposable
    {
        private readonly Objset _os;
        private readonly List<ulong> _objects = [];
        private bool _closed;

        internal OpenPool(string folder)
        {
            FileVdevIo[] ios = [.. Directory.GetFiles(folder).Order().Select(static f => FileVdevIo.Open(f, readOnly: false))];
            Spa = Spa.Open(ios, new SpaOpenOptions());
            _os = Spa.OpenObjset("tank");
        }

        internal Spa Spa { get; }

        internal long AllocatedAtClose { get; private set; }

        internal void Churn(int seed, int changes)
        {
            var random = new Random(seed);
            for (int i = 0; i < changes; i++)
            {
                if (_objects.Count > 80 || (_objects.Count > 20 && random.Next(3) == 0))
                {
                    FreeOne(random);
                }
                else
                {
                    WriteOne(random);
                }
            }

            Spa.Txg.WaitSynced(0);
            Assert.False(Spa.IsSuspended, Spa.SuspendReason);
        }

        // Writes 128 KiB files until there is no space, also when nothing is dirty any more; returns how many.
        internal int Fill()
        {
            byte* data = KmemAllocator.Alloc(131072, KmFlags.Sleep);
            new Random(1).NextBytes(new Span<byte>(data, 131072));
            int last = -1;
            while (true)
            {
                DmuTx tx = DmuTx.Create(Spa.Txg);
                tx.HoldNewObject(_os, 131072);
                int error = tx.Assign(TxAssign.Wait);
                if (error != 0)
                {
                    tx.Abort();
                    Assert.Equal(Errno.ENOSPC, error);
                    if (last != _objects.Count)
                    {
                        last = _objects.Count;
                        Spa.Txg.WaitSynced(0);
                        continue;
                    }

                    KmemAllocator.Free(data, 131072);
                    return _objects.Count;
                }

                Dnode dn = _os.AllocateObject(DmuOt.PlainFileContents, 131072, DmuOt.None, 0, tx);
                dn.Write(0, 131072, data, tx);
                _objects.Add(dn.Object);
                tx.Commit();
                dn.Release();
            }
        }

        internal void Empty()
        {
            var random = new Random(2);
            while (_objects.Count > 0)
            {
                FreeOne(random);
            }
        }

        public void Dispose()
        {
            if (!_closed)
            {
                _closed = true;
                Spa.Txg.WaitSynced(0);
                Spa.CloseObjset(_os);
                Spa.Close();
                AllocatedAtClose = Spa.Allocator.AllocatedBytes;
            }
        }

        private void WriteOne(Random random)
        {
            int size = random.Next(1, 260) * 512;
            byte* data = KmemAllocator.Alloc(size, KmFlags.Sleep);
            random.NextBytes(new Span<byte>(data, size));
            if (random.Next(2) == 0)
            {
                new Span<byte>(data, size).Fill(7);
            }

            DmuTx tx = DmuTx.Create(Spa.Txg);
            tx.HoldNewObject(_os, size);
            Assert.Equal(0, tx.Assign(TxAssign.Wait));
            Dnode dn = _os.AllocateObject(DmuOt.PlainFileContents, 131072, DmuOt.None, 0, tx);
            dn.Write(0, size, data, tx);
            _objects.Add(dn.Object);
            tx.Commit();
            dn.Release();
            KmemAllocator.Free(data, size);
        }

        private void FreeOne(Random random)
        {
            int i = random.Next(_objects.Count);
            Dnode dn = _os.HoldObject(_objects[i]);
            _objects.RemoveAt(i);
            DmuTx tx = DmuTx.Create(Spa.Txg);
            tx.HoldFree(dn, 0, ulong.MaxValue);
            Assert.Equal(0, tx.Assign(TxAssign.Wait));
            _os.FreeObject(dn, tx);
            tx.Commit();
            dn.Release();
        }
    }
}
