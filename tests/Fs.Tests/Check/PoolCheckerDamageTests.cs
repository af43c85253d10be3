using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

/// <summary>Every kind of damage that the checker is for is planted, with checksums made right above it, and must be found.</summary>
[Trait("Backend", "os")]
public sealed unsafe class PoolCheckerDamageTests : IDisposable
{
    private const ulong Mos = 0, Ds = 16;
    private static readonly Dictionary<string, (Action<PoolEditor> Plant, string Finding)> s_cases = new(StringComparer.Ordinal)
    {
        ["dnode used"] = (e => e.EditDnode(Ds, 3, dn => dn[24]++), "space used"),
        ["dataset used"] = (e => e.AddToBonus(Mos, 16, 72, 512), "goldmini object 16: bytes used"),
        ["dataset compressed"] = (e => e.AddToBonus(Mos, 16, 80, 512), "goldmini object 16: compressed"),
        ["dataset unique"] = (e => e.AddToBonus(Mos, 16, 96, -512), "unique bytes"),
        ["directory used"] = (e => e.AddToBonus(Mos, 2, 40, 512), "sum of its parts"),
        ["directory head"] = (e => e.AddToBonus(Mos, 2, 104, 512), "(HEAD)"),
        ["directory snap"] = (e => e.AddToBonus(Mos, 2, 112, 512), "(SNAP)"),
        ["directory child"] = (e => e.AddToBonus(Mos, 2, 120, 512), "(CHILD)"),
        ["child reserved"] = (e => e.AddToBonus(Mos, 2, 128, 512), "(CHILD_RSRV)"),
        ["$MOS head"] = (e => e.AddToBonus(Mos, 5, 104, 512), "$MOS object 5: used by the dataset (HEAD)"),
        ["leak"] = (e => AddToSpaceMap(e, alloc: true, 1016, 8, 4096), "leaked: 4096 bytes"),
        ["freed in use"] = (e => AddToSpaceMap(e, alloc: false, 0, 1, -512), "free in the space map"),
        ["allocated twice"] = (e => AddToSpaceMap(e, alloc: true, 0, 1, 0), "allocated already"),
        ["freed twice"] = (e => AddToSpaceMap(e, alloc: false, 1016, 1, 0), "free already"),
        ["entry out of range"] = (e => AddToSpaceMap(e, alloc: true, 1020, 8, 0), "leaves metaslab"),
        ["space map sum"] = (e => e.AddToBonus(Mos, 24, 16, 512), "allocated bytes of metaslab"),
        ["space map length"] = (e => e.AddToBonus(Mos, 24, 8, 1 << 20), "space map header"),
        ["one block for two objects"] = (ShareBlock, "referred to twice"),
        ["fill of objects"] = (e => e.EditObjset(Ds, os => os[64 + 88]++), "fill"),
        ["fill of the object set"] = (e => e.EditBonus(Mos, 16, b => b[128 + 88] += 7), "fill of the object set"),
        ["birth in the future"] = (e => e.EditDnode(Ds, 3, dn => dn[64 + 80] = 200), "was born after"),
        ["level of a pointer"] = (e => e.EditDnode(Ds, 3, dn => dn[64 + 55] |= 1), "does not fit"),
        ["size of a pointer"] = (e => e.EditDnode(Ds, 3, dn => dn[64 + 48]++), "does not fit"),
        ["address outside"] = (e => e.EditDnode(Ds, 3, dn => dn[64 + 8 + 5] = 1), "outside its vdev"),
        ["vdev of an address"] = (e => e.EditDnode(Ds, 3, dn => dn[64 + 4] = 9), "outside its vdev"),
        ["geometry of a dnode"] = (e => e.EditDnode(Ds, 3, dn => dn[1] = 40), "indirect blocks of 2^40"),
        ["type of an object"] = (e => e.EditDnode(Ds, 3, dn => dn[0] = 90), "object type 90"),
        ["links of a directory"] = (e => e.AddToBonus(Ds, 3, 96, 1), "links of the directory"),
        ["size of a directory"] = (e => e.AddToBonus(Ds, 3, 80, 1), "size of the directory"),
        ["parent of the root"] = (e => e.AddToBonus(Ds, 3, 88, 1), "the root's parent"),
        ["links of a file"] = (e => e.AddToBonus(Ds, Child(e, "hello.txt"), 96, 1), "links is 2, should be 1"),
        ["parent of a directory"] = (e => e.AddToBonus(Ds, Child(e, "sub"), 88, 1), "does not hold it"),
        ["mode of a file"] = (e => e.AddToBonus(Ds, Child(e, "hello.txt"), 72, -0x4000), "on an object of type"),
        ["attributes elsewhere"] = (e => e.AddToBonus(Ds, Child(e, "hello.txt"), 104, 3), "no directory of such"),
        ["type in an entry"] = (e => EditEntry(e, "hello.txt", v => v ^ (3UL << 60), keepName: true), "says type"),
        ["entry to nowhere"] = (e => EditEntry(e, "hello.txt", v => v + 4000, keepName: true), "which is no file"),
        ["entry lost"] = (e => EditEntry(e, "hello.txt", _ => 0, keepName: false), "has no name"),
        ["queued with a name"] = (Queue, "in the delete queue and has a name"),
        ["deadlist sum"] = (e => e.AddToBonus(Mos, 18, 8, 512), "bytes of the deadlist"),
        ["deadlist length"] = (e => e.AddToBonus(Mos, 18, 0, 1), "deadlist has a hole"),
        ["deferred length"] = (e => e.AddToBonus(Mos, 21, 0, 1 << 20), "list of deferred frees says"),
        ["previous snapshot"] = (e => e.AddToBonus(Mos, 16, 16, 1), "txg of the previous snapshot"),
        ["next snapshot"] = (e => e.AddToBonus(Mos, 14, 24, 1), "next snapshot"),
        ["children of a snapshot"] = (e => e.AddToBonus(Mos, 14, 40, 1), "number of children"),
        ["clones"] = (e => e.EditBlock(Mos, 19, 0, b => b[64]++), "list of clones"),
        ["parent of a directory of datasets"] = (e => e.AddToBonus(Mos, 5, 16, 1), "parent directory"),
        ["guid in the configuration"] = (EditConfig, "pool guid in the configuration"),
        ["micro ZAP magic"] = (e => e.EditBlock(Ds, 3, 0, b => b[0] = 7), "is no ZAP"),
        ["name without an end"] = (e => e.EditBlock(Ds, 3, 0, b => b.Slice(64 + 14, 50).Fill(65)), "without an end"),
        ["master node"] = (e => e.EditBlock(Ds, 1, 0, b => b[(64 + 14)..][..(b.Length - 78)].Clear()), "names no root"),
    };

    private readonly KmemScope _kmem = new(64 << 20);

    public static TheoryData<string> Cases => [.. s_cases.Keys];

    public void Dispose() => _kmem.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void Planted_damage_is_found(string damage)
    {
        (Action<PoolEditor> plant, string expected) = s_cases[damage];
        MemoryVdevIo io = GoldenPools.LoadAll("goldmini")[0];
        List<string> before = Check(io);
        plant(new PoolEditor(io));
        List<string> findings = [.. Check(io).Except(before)];
        Assert.Contains(findings, f => f.Contains(expected, StringComparison.Ordinal));
        Assert.DoesNotContain(findings, f => f.Contains("checksum", StringComparison.Ordinal));
    }

    [Fact]
    public void A_flipped_byte_in_any_allocated_sector_is_found()
    {
        MemoryVdevIo io = GoldenPools.LoadAll("goldmini")[0];
        List<ulong> sectors = [];
        using (PoolReader pool = PoolReader.Open([io]))
        {
            var ctx = new CheckContext(pool, new CheckOptions());
            SpaceMapCheck.Load(ctx);
            foreach ((_, ulong offset, ulong length) in ctx.Allocated.Except(new SpaceBitmap(pool.Vdevs)))
            {
                for (ulong at = 0; at < length; at += 512)
                {
                    sectors.Add(offset + at);
                }
            }
        }

        Assert.InRange(sectors.Count, 500, 2000);
        for (int i = 0; i < sectors.Count; i += 11)
        {
            long at = (long)(sectors[i] + Vdev.DataStart) + (i * 37 % 512);
            Flip(io, at, 0x10);
            Assert.True(Check(io).Exists(f => f.Contains("checksum", StringComparison.Ordinal)), $"sector {sectors[i]:x}");
            Flip(io, at, 0x10);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_damaged_label_is_found(int label)
    {
        MemoryVdevIo io = GoldenPools.LoadAll("goldmini")[0];
        long at = VdevLabel.OffsetOf(label, io.Size);
        Flip(io, at + VdevLabel.ConfigOffset + 30000, 1);
        Assert.Contains(Check(io), f => f.Contains($"label {label} is damaged", StringComparison.Ordinal));
        Flip(io, at + VdevLabel.ConfigOffset + 30000, 1);
        Flip(io, at + VdevLabel.UberblockRingOffset + (4 * 1024) + 16, 1);
        Assert.Contains(Check(io), f => f.Contains($"label {label} lacks", StringComparison.Ordinal));
    }

    [GoldenFact("golda12")]
    public void Wrong_space_of_a_user_is_found()
    {
        MemoryVdevIo io = GoldenPools.LoadAll("golda12")[0];
        Assert.Empty(Check(io));
        new PoolEditor(io).EditSpecialBlock(16, 1024, 0, b => b[64 + 1] ^= 2);
        Assert.Contains("space of user 0", Assert.Single(Check(io)));
    }

    [GoldenFact("goldd")]
    public void Blocks_of_a_lost_log_are_found_to_leak()
    {
        MemoryVdevIo io = GoldenPools.LoadAll("goldd")[0];
        Assert.Empty(Check(io));
        new PoolEditor(io).EditObjset(16, os => os.Slice(512, 192).Clear());
        Assert.All(Check(io), f => Assert.Contains("leaked", f));
        Assert.NotEmpty(Check(io));
    }

    [GoldenFact("golda")]
    public void A_wrong_name_in_a_fat_ZAP_is_found()
    {
        MemoryVdevIo io = GoldenPools.LoadAll("golda")[0];
        bool planted = false;
        var editor = new PoolEditor(io);
        using (PoolReader pool = PoolReader.Open([io]))
        {
            OfflineZpl zpl = pool.OpenFileSystem("golda");
            ulong dir = zpl.Tree().Select(t => t.Object).First(o => zpl.Objset.ReadDnode(o) is { Phys.Type: DmuOt.DirectoryContents, Phys.MaxBlockId: > 0 });
            editor.EditBlock(16, dir, 1, b =>
            {
                for (int c = 0; c < ZapPhys.LeafChunkCount(b.Length) && !planted; c++)
                {
                    Span<byte> chunk = b.Slice(ZapPhys.LeafChunkOffset(b.Length, c), ZapPhys.LeafChunkSize);
                    if (chunk[0] == ZapPhys.ChunkEntry)
                    {
                        chunk[ZapPhys.EntryHash + 6] ^= 1;
                        planted = true;
                    }
                }
            });
        }

        Assert.True(planted);
        Assert.Contains(Check(io), f => f.Contains("does not belong", StringComparison.Ordinal));
    }

    [GoldenFact("golda")]
    public void Wrong_accounts_of_snapshots_are_found()
    {
        MemoryVdevIo io = GoldenPools.LoadAll("golda")[0];
        var editor = new PoolEditor(io);
        using PoolReader pool = PoolReader.Open([io]);
        OfflineDataset s1 = pool.Datasets().Single(d => d.Name == "golda/snapped@s1"), s2 = pool.Datasets().Single(d => d.Name == "golda/snapped@s2");
        editor.AddToBonus(Mos, s1.Object, 96, 512);
        editor.AddToBonus(Mos, s2.Phys.DeadlistObject, 0, -1);
        List<string> findings = Check(io);
        Assert.Contains(findings, f => f.Contains("golda/snapped@s1", StringComparison.Ordinal) && f.Contains("unique bytes", StringComparison.Ordinal));
        Assert.Contains(findings, f => f.Contains("golda/snapped@s2", StringComparison.Ordinal) && f.Contains("that this has not", StringComparison.Ordinal));
    }

    [ZfsFuseFact]
    public void Zdb_agrees_on_what_is_clean_leaked_and_in_use_but_free()
    {
        Assert.True(ZdbVerdict(_ => { }) is (0, true));
        Assert.Equal(2, ZdbVerdict(e => AddToSpaceMap(e, alloc: true, 1016, 8, 4096)).ExitCode);
        Assert.NotEqual(0, ZdbVerdict(e => AddToSpaceMap(e, alloc: false, 0, 1, -512)).ExitCode);
    }

    private static (int ExitCode, bool Clean) ZdbVerdict(Action<PoolEditor> plant)
    {
        MemoryVdevIo io = GoldenPools.LoadAll("goldmini")[0];
        plant(new PoolEditor(io));
        DirectoryInfo dir = Directory.CreateTempSubdirectory("disk-zdb-");
        try
        {
            using (FileStream file = File.Create(Path.Combine(dir.FullName, "m.img")))
            {
                io.Save(file);
            }

            (int code, string output) = Zdb.Check(dir.FullName, "goldmini");
            return (code, Zdb.IsClean(code, output));
        }
        finally
        {
            dir.Delete(recursive: true);
        }
    }

    internal static List<string> Check(MemoryVdevIo io)
    {
        using PoolReader pool = PoolReader.Open([io]);
        return [.. PoolChecker.Run(pool).Findings.Select(f => f.ToString())];
    }

    private static void Flip(MemoryVdevIo io, long at, byte xor)
    {
        byte b;
        Assert.Equal(0, io.Read(at, &b, 1));
        b ^= xor;
        Assert.Equal(0, io.Write(at, [new IoSegment((nint)(&b), 1)]));
    }

    private static void AddToSpaceMap(PoolEditor e, bool alloc, ulong unit, int run, long bytes)
    {
        int length = 0;
        e.EditBonus(Mos, 24, b =>
        {
            ref ulong size = ref MemoryMarshal.Cast<byte, ulong>(b[8..])[0];
            length = (int)size;
            size += 8;
        });
        e.AddToBonus(Mos, 24, 16, bytes);
        e.EditBlock(Mos, 24, 0, b => BinaryPrimitives.WriteUInt64LittleEndian(b[length..], SpaceMapPhys.Entry(alloc, unit, run)));
    }

    /// <summary>Gives the directory "sub" the block of the root.</summary>
    private static void ShareBlock(PoolEditor e)
    {
        byte[] root = e.ReadDnode(Ds, 3);
        e.EditDnode(Ds, Child(e, "sub"), dn =>
        {
            root.AsSpan(64, 128).CopyTo(dn[64..]);
        });
    }

    private static ulong Child(PoolEditor e, string name)
    {
        ulong found = 0;
        EditEntry(e, name, v => found = v, keepName: true);
        return found & 0xffffffff;
    }

    private static void EditEntry(PoolEditor e, string name, Func<ulong, ulong> edit, bool keepName) => e.EditBlock(Ds, 3, 0, b =>
    {
        for (int at = 64; at + 64 <= b.Length; at += 64)
        {
            if (System.Text.Encoding.ASCII.GetString(b.Slice(at + 14, 50)).TrimEnd('\0') == name)
            {
                BinaryPrimitives.WriteUInt64LittleEndian(b[at..], edit(BinaryPrimitives.ReadUInt64LittleEndian(b[at..])));
                if (!keepName)
                {
                    b.Slice(at, 64).Clear();
                }

                return;
            }
        }

        throw new InvalidOperationException($"no entry {name}");
    });

    private static void Queue(PoolEditor e)
    {
        ulong obj = Child(e, "hello.txt");
        e.EditBlock(Ds, 2, 0, b =>
        {
            BinaryPrimitives.WriteUInt64LittleEndian(b[64..], obj);
            System.Text.Encoding.ASCII.GetBytes(obj.ToString("x")).CopyTo(b[(64 + 14)..]);
        });
    }

    private static void EditConfig(PoolEditor e) => e.EditBlock(Mos, 20, 0, b =>
    {
        int at = b.IndexOf("pool_guid"u8);
        b[at + 12 + 8 + 7] ^= 1;
    });
}
