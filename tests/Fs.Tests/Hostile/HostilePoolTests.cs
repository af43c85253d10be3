using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>What hostile images have broken, each by itself: a pool that can't be used is refused, and nothing of it is left in memory.</summary>
public sealed class HostilePoolTests
{
    private const ulong MasterNode = 1;
    private const int ChecksumAt = 5;
    private const int CompressAt = 6;
    private const int UserUsedAt = 1024;

    /// <summary>Mounting had held the delete queue, and begun a thread, when it failed.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_mount_that_fails_halfway_leaves_nothing_behind(bool readOnly) => Refused(
        readOnly,
        (editor, dataset) => editor.EditBlock(dataset, MasterNode, 0, static zap =>
        {
            // The delete queue becomes the master node itself, the root nothing at all.
            SetMicro(zap, "ROOT", 1);
            SetMicro(zap, "DELETE_QUEUE", 1);
        }));

    [Fact]
    public void A_delete_queue_that_is_none_is_an_error() => Refused(
        readOnly: false,
        static (editor, dataset) => editor.EditBlock(dataset, MasterNode, 0, static zap => SetMicro(zap, "DELETE_QUEUE", 999)));

    [Theory]
    [InlineData(ChecksumAt, 255)]
    [InlineData(ChecksumAt, 3)]
    [InlineData(CompressAt, 200)]
    [InlineData(CompressAt, 4)]
    public void A_dnode_that_names_no_function_for_its_blocks_is_damaged(int at, byte value) => Backends.Run(
        () =>
        {
            using var p = new ZplPool();
            ulong file = p.Make(p.RootDir, "file");
            Assert.Equal(0, p.Write(file, 0, new byte[100]));
            ulong dataset = p.Objset.Id;
            p.Edit(e => e.EditDnode(dataset, file, dn => dn[at] = value));
            Assert.Equal(Errno.EIO, ErrorOf(() => p.Fs.GetAttr(file, out _)));
            Assert.Equal(0, p.Fs.Create(ZplPool.Root, p.RootDir, "other"u8, 0x81A4, 0, default, out _));
        },
        seeds: 2);

    /// <summary>Removing such a name took the lock of the directory twice, and ended the daemon.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_directory_that_names_itself_or_the_root_does_not_lock_up(bool itself) => Backends.Run(
        () =>
        {
            using var p = new ZplPool();
            ulong dir = p.MakeDir(p.RootDir, "dir"), dataset = p.Objset.Id;
            _ = p.MakeDir(dir, "sub");
            ulong wrong = itself ? dir : p.RootDir;
            p.Edit(e => e.EditBlock(dataset, dir, 0, zap => SetMicro(zap, "sub", (4UL << 60) | wrong)));
            Assert.Equal(Errno.EIO, p.Rmdir(dir, "sub"));
            Assert.Equal(Errno.EIO, p.Rename(dir, "sub", p.RootDir, "moved"));
            ulong other = p.MakeDir(dir, "other");
            Assert.Equal(Errno.EIO, p.Rename(dir, "other", dir, "sub"));
            Assert.Equal(0, p.Rename(dir, "other", p.RootDir, "other"));
            Assert.Equal(0, p.Rmdir(p.RootDir, "other"));
            Assert.NotEqual(0UL, other);
        },
        seeds: 2);

    [Fact]
    public void An_accounting_dnode_that_is_damaged_leaves_nothing_attached() => Backends.Run(
        static () => OpenEdited(static (editor, dataset) => editor.EditObjset(dataset, static os => (os[UserUsedAt], os[UserUsedAt + 2]) = ((byte)DmuOt.UsergroupUsed, 77)), static spa =>
        {
            Assert.Equal(Errno.EIO, Assert.Throws<ZfsException>(() => spa.OpenObjset("tank")).Errno);
        }),
        seeds: 2);

    [Fact]
    public void An_uberblock_of_an_impossible_txg_is_refused() => RefusedAtOpen(
        static disk => new PoolEditor(disk).EditUberblock(static ub =>
        {
            ub.Txg = 1UL << 63;
            return ub;
        }),
        "txg");

    [Theory]
    [InlineData("id", 1UL << 32)]
    [InlineData("id", 5UL)]
    [InlineData("metaslab_shift", 40UL)]
    [InlineData("vdev_children", 1UL << 40)]
    [InlineData("vdev_children", 0UL)]
    [InlineData("is_log", 1UL)]
    public void A_label_with_an_impossible_number_is_refused(string name, ulong value) => RefusedAtOpen(disk => EditLabel(disk, name, value), "");

    [Fact]
    public void A_label_without_a_vdev_is_refused() => RefusedAtOpen(static disk => EditLabel(disk, "", 0), "label");

    private static void EditLabel(MemoryVdevIo disk, string name, ulong value)
    {
        Nvlist label = VdevLabel.Scan(disk).ConfigList!;
        Nvlist changed = new();
        foreach (NvPair pair in label.Pairs)
        {
            if (pair.Name != "vdev_tree")
            {
                _ = pair.Name == name ? changed.Set(name, value) : changed.Set(pair.Name, pair.Type, pair.Value);
            }
            else if (name.Length > 0)
            {
                Nvlist tree = new();
                foreach (NvPair inner in label.GetNvlist("vdev_tree")!.Pairs)
                {
                    _ = inner.Name == name ? tree.Set(name, value) : tree.Set(inner.Name, inner.Type, inner.Value);
                }

                _ = changed.Set("vdev_tree", tree);
            }
        }

        Assert.Equal(0, VdevLabel.WriteConfig(disk, 0, changed));
        Assert.Equal(0, VdevLabel.WriteConfig(disk, 1, changed));
    }

    private static int ErrorOf(Func<int> call)
    {
        try
        {
            return call();
        }
        catch (ZfsException e)
        {
            return e.Errno;
        }
    }

    private static void SetMicro(Span<byte> zap, string name, ulong value)
    {
        for (int at = ZapPhys.MicroHeaderSize; at < zap.Length; at += ZapPhys.MicroEntrySize)
        {
            Span<byte> text = zap.Slice(at + ZapPhys.MicroEntryName, ZapPhys.MicroNameSize);
            if (System.Text.Encoding.ASCII.GetString(text[..text.IndexOf((byte)0)]) == name)
            {
                Assert.True(BitConverter.TryWriteBytes(zap[at..], value));
                return;
            }
        }

        Assert.Fail($"no entry {name}");
    }

    /// <summary>A mount that must fail, and a pool that can be closed afterwards with nothing left.</summary>
    private static void Refused(bool readOnly, Action<PoolEditor, ulong> edit) => Backends.Run(
        () => OpenEdited(
            edit,
            spa =>
            {
                Objset os = spa.OpenObjset("tank");
                _ = Assert.Throws<ZfsException>(() => Zfsvfs.Mount(os, readOnly, AtimeMode.Off));
                spa.CloseObjset(os);
            },
            readOnly: readOnly),
        seeds: 2);

    private static void OpenEdited(Action<PoolEditor, ulong> edit, Action<Spa> use, bool readOnly = false)
    {
        using var memory = new KmemScope();
        MemoryVdevIo disk = TestPool.Format();
        ulong dataset;
        using (PoolReader pool = PoolReader.Open([disk.Clone()]))
        {
            dataset = pool.Datasets().First().Object;
        }

        edit(new PoolEditor(disk), dataset);
        Spa spa = TestPool.Open(disk, readOnly);
        use(spa);
        spa.Close();
    }

    private static void RefusedAtOpen(Action<MemoryVdevIo> edit, string says) => Backends.Run(
        () =>
        {
            using var memory = new KmemScope();
            MemoryVdevIo disk = TestPool.Format();
            edit(disk);
            Assert.Contains(says, Assert.Throws<ZfsException>(() => TestPool.Open(disk)).Message, StringComparison.Ordinal);
        },
        seeds: 2);
}
