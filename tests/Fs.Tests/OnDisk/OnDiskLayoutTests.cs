using System.Reflection;
using System.Runtime.InteropServices;
using Xunit;

namespace ZfsLite.Fs.Tests;

public sealed unsafe class OnDiskLayoutTests
{
    public static TheoryData<Type, int, string> Layouts => new()
    {
        { typeof(Dva), 16, "Word0 0 Word1 8" },
        { typeof(Blkptr), 128, "Dva0 0 Dva1 16 Dva2 32 Prop 48 PhysBirth 72 Birth 80 Fill 88 Checksum 96" },
        { typeof(Checksum256), 32, "W0 0 W1 8 W2 16 W3 24" },
        { typeof(DnodePhys), 512, "Type 0 IndirectShift 1 Levels 2 BlkptrCount 3 BonusType 4 Checksum 5 Compress 6 Flags 7 DataBlockSectors 8 BonusLength 10 MaxBlockId 16 Used 24 Blkptr0 64 Blkptr1 192 Blkptr2 320" },
        { typeof(ObjsetPhys), 2048, "MetaDnode 0 ZilHeader 512 Type 704 Flags 712 UserUsedDnode 1024 GroupUsedDnode 1536" },
        { typeof(ZilHeader), 192, "ClaimTxg 0 ReplaySeq 8 Log 16 ClaimBlockSeq 144 Flags 152 ClaimRecordSeq 160" },
        { typeof(ZnodePhys), 264, "AtimeSeconds 0 AtimeNanoseconds 8 MtimeSeconds 16 MtimeNanoseconds 24 CtimeSeconds 32 CtimeNanoseconds 40 CrtimeSeconds 48 CrtimeNanoseconds 56 Generation 64 Mode 72 Size 80 Parent 88 Links 96 Xattr 104 Rdev 112 Flags 120 Uid 128 Gid 136 Zap 144 AclExternObject 176 AclSize 184 AclVersion 188 AclCount 190 AclData 192" },
        { typeof(DslDirPhys), 256, "CreationTime 0 HeadDataset 8 Parent 16 Origin 24 ChildDirZap 32 UsedBytes 40 CompressedBytes 48 UncompressedBytes 56 Quota 64 Reserved 72 PropsZap 80 DelegZap 88 Flags 96 UsedBreakdown 104" },
        { typeof(DslDatasetPhys), 320, "DirObject 0 PrevSnapObject 8 PrevSnapTxg 16 NextSnapObject 24 SnapNamesZap 32 ChildCount 40 CreationTime 48 CreationTxg 56 DeadlistObject 64 UsedBytes 72 CompressedBytes 80 UncompressedBytes 88 UniqueBytes 96 FsidGuid 104 Guid 112 Flags 120 Bp 128 NextClonesObject 256 PropsObject 264 UserRefsObject 272" },
        { typeof(SpaceMapPhys), 24, "Object 0 ObjSize 8 Alloc 16" },
        { typeof(BplistPhys), 32, "Entries 0 Bytes 8 Compressed 16 Uncompressed 24" },
        { typeof(Uberblock), 168, "Magic 0 Version 8 Txg 16 GuidSum 24 Timestamp 32 RootBp 40" },
    };

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Size_and_every_offset(Type type, int size, string offsets)
    {
        Assert.Equal(size, Marshal.SizeOf(type));
        string actual = string.Join(' ', type.GetFields(BindingFlags.Instance | BindingFlags.Public)
            .Select(f => $"{f.Name} {Marshal.OffsetOf(type, f.Name)}"));
        Assert.Equal(offsets, actual);
    }

    [Fact]
    public void Block_pointer_properties_sit_in_their_bits()
    {
        var bp = new Blkptr
        {
            LogicalSize = 131072,
            PhysicalSize = 1024,
            Compress = ZioCompressType.Lzjb,
            ChecksumType = ZioChecksumType.Fletcher4,
            Type = DmuOt.PlainFileContents,
            Level = 2,
            IsLittleEndian = true,
        };
        Assert.Equal((255UL | (1UL << 16) | (3UL << 32) | (7UL << 40) | (19UL << 48) | (2UL << 56) | (1UL << 63)), bp.Prop);
        Dva dva = Dva.Create(3, 0x1234600, 0x800, gang: true);
        Assert.Equal((4UL, 0x1234600UL >> 9 | 1UL << 63), (dva.Word0 & 0xffffff, dva.Word1));
        Assert.Equal((3u, 0x1234600UL, 0x800UL, true), (dva.Vdev, dva.Offset, dva.Asize, dva.IsGang));
    }

    [Theory]
    [InlineData(0, 3)]
    [InlineData(64, 3)]
    [InlineData(65, 2)]
    [InlineData(192, 2)]
    [InlineData(193, 1)]
    [InlineData(320, 1)]
    public void Bonus_takes_the_room_of_block_pointers(int bonus, int pointers) =>
        Assert.Equal(pointers, DnodePhys.BlkptrCountFor(bonus));

    [Fact]
    public void Space_map_entries_sit_in_their_bits()
    {
        ulong e = SpaceMapPhys.Entry(isAlloc: false, offset: 0x12345, run: 32768);
        Assert.Equal((0x12345UL << 16) | 0x8000 | 0x7fff, e);
        Assert.Equal((false, 0x12345UL, 32768, false), (SpaceMapPhys.IsAlloc(e), SpaceMapPhys.OffsetOf(e), SpaceMapPhys.RunOf(e), SpaceMapPhys.IsDebug(e)));
        Assert.True(SpaceMapPhys.IsDebug(SpaceMapPhys.DebugEntry(true, 1, 7)));
        Assert.Equal((1UL << 63) | (1UL << 60) | (2UL << 50) | 9, SpaceMapPhys.DebugEntry(false, 2, 9));
    }

    [Fact]
    public void Impossible_dnodes_are_named()
    {
        var dn = new DnodePhys { Type = DmuOt.PlainFileContents, IndirectShift = 14, Levels = 1, BlkptrCount = 1, DataBlockSectors = 1, BonusLength = 264 };
        Assert.Null(DnodePhys.Problem(&dn));
        DnodePhys bad = dn;
        bad.BlkptrCount = 2;
        Assert.NotNull(DnodePhys.Problem(&bad));
        bad = dn;
        bad.MaxBlockId = 1;
        Assert.NotNull(DnodePhys.Problem(&bad));
        bad = dn;
        bad.Levels = 0;
        Assert.NotNull(DnodePhys.Problem(&bad));
        bad = dn;
        bad.IndirectShift = 3;
        Assert.NotNull(DnodePhys.Problem(&bad));
        bad = dn;
        bad.DataBlockSectors = 257;
        Assert.NotNull(DnodePhys.Problem(&bad));
    }
}
