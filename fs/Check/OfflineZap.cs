using System.Buffers.Binary;
using System.Text;

namespace ZfsLite.Fs;

/// <summary>
/// Reads ZAP objects offline: every entry, in no promised order. On purpose not the code that the file system uses: what
/// one of them writes wrongly the other does not read rightly.
/// </summary>
public sealed class OfflineZap
{
    private readonly OfflineObjset _os;
    private readonly OfflineDnode _dn;
    private readonly long _blockBudget;

    /// <summary>Looks at a ZAP object. <paramref name="blockBudget"/>: most leaves that an honest one of this pool can have.</summary>
    public OfflineZap(OfflineObjset os, OfflineDnode dn, long blockBudget)
    {
        _os = os;
        _dn = dn;
        _blockBudget = blockBudget;
    }

    /// <summary>All entries. Throws ZfsException (EIO) on what is no ZAP.</summary>
    public IEnumerable<OfflineZapEntry> Entries()
    {
        var first = new byte[_dn.Phys.DataBlockSize];
        _os.ReadDataBlock(_dn, 0, first);
        return BinaryPrimitives.ReadUInt64LittleEndian(first) switch
        {
            ZapPhys.MicroMagic when HasOddNames(first, ZapPhys.MicroNormFlags) => throw Bad("normalises its names"),
            ZapPhys.HeaderMagic when HasOddNames(first, ZapPhys.FatNormFlags) => throw Bad("normalises its names"),
            ZapPhys.MicroMagic => MicroEntries(first),
            ZapPhys.HeaderMagic => FatEntries(first),
            ulong magic => throw Bad($"is no ZAP (it begins with {magic:x})"),
        };
    }

    /// <summary>The number under a name; null if there is none.</summary>
    public ulong? Find(string name)
    {
        foreach (OfflineZapEntry e in Entries())
        {
            if (e.NameText == name)
            {
                return e.First;
            }
        }

        return null;
    }

    /// <summary>Nothing but directories has names that are normalised.</summary>
    private bool HasOddNames(byte[] header, int flagsAt) => _dn.Phys.Type != DmuOt.DirectoryContents
        && (BinaryPrimitives.ReadUInt64LittleEndian(header.AsSpan(flagsAt)) & ~ZapPhys.NormToUpper) != 0;

    private ZfsException Bad(string what) => new(Errno.EIO, $"{_os.Name}: object {_dn.Object} {what}");

    private IEnumerable<OfflineZapEntry> MicroEntries(byte[] block)
    {
        if (_dn.Phys.MaxBlockId != 0)
        {
            throw Bad("is a micro ZAP of more than one block");
        }

        for (int at = ZapPhys.MicroHeaderSize; at + ZapPhys.MicroEntrySize <= block.Length; at += ZapPhys.MicroEntrySize)
        {
            ReadOnlySpan<byte> name = block.AsSpan(at + ZapPhys.MicroEntryName, ZapPhys.MicroNameSize);
            int length = name.IndexOf((byte)0);
            if (length < 0)
            {
                throw Bad($"has a name without an end at byte {at}");
            }

            if (length > 0)
            {
                yield return new OfflineZapEntry(
                    name[..length].ToArray(),
                    8,
                    [BinaryPrimitives.ReadUInt64LittleEndian(block.AsSpan(at))],
                    ZapHash.Of(
                        BinaryPrimitives.ReadUInt64LittleEndian(block.AsSpan(ZapPhys.MicroSalt)),
                        BinaryPrimitives.ReadUInt64LittleEndian(block.AsSpan(ZapPhys.MicroNormFlags)),
                        block.AsSpan(at + ZapPhys.MicroEntryName, length)));
            }
        }
    }

    private IEnumerable<OfflineZapEntry> FatEntries(byte[] header)
    {
        int size = header.Length;
        ulong Field(int at) => BinaryPrimitives.ReadUInt64LittleEndian(header.AsSpan(at));
        ulong shift = Field(ZapPhys.FatTableShift), tableBlock = Field(ZapPhys.FatTableBlock), tableBlocks = Field(ZapPhys.FatTableBlocks);
        if (Field(8) != ZapPhys.FatMagic || size < 1024 || !System.Numerics.BitOperations.IsPow2(size) || shift is 0 or > 40)
        {
            throw Bad("has a bad fat ZAP header");
        }

        bool embedded = tableBlocks == 0;
        ulong capacity = embedded ? (ulong)size / 16 : tableBlocks * (ulong)size / 8;
        if (tableBlocks > _dn.Phys.MaxBlockId || tableBlock > _dn.Phys.MaxBlockId || 1UL << (int)shift > capacity)
        {
            throw Bad($"has a pointer table of 2^{shift} entries in {tableBlocks} blocks");
        }

        var table = new byte[size];
        var leaf = new byte[size];
        ulong last = 0, seen = 0;
        long budget = _blockBudget;
        for (ulong i = 0; i < 1UL << (int)shift; i++)
        {
            ulong at = embedded ? (ulong)(size / 2) + (i * 8) : i * 8 % (ulong)size;
            if (!embedded && at == 0)
            {
                _os.ReadDataBlock(_dn, tableBlock + (i * 8 / (ulong)size), table);
            }

            ulong block = BinaryPrimitives.ReadUInt64LittleEndian((embedded ? header : table).AsSpan((int)at));
            if (block == 0 || block > _dn.Phys.MaxBlockId)
            {
                throw Bad($"has leaf {block} in its pointer table");
            }

            if (block == last)
            {
                continue;
            }

            last = block;
            if (--budget < 0)
            {
                throw Bad("has more leaves than the pool has room for");
            }

            _os.ReadDataBlock(_dn, block, leaf);
            CheckLeaf(leaf, i, (int)shift);
            foreach (OfflineZapEntry e in LeafEntries(leaf, Field(ZapPhys.FatSalt), Field(ZapPhys.FatNormFlags)))
            {
                seen++;
                yield return e;
            }
        }

        if (seen != Field(ZapPhys.FatEntryCount))
        {
            throw Bad($"says it has {Field(ZapPhys.FatEntryCount)} entries and has {seen}");
        }
    }

    private void CheckLeaf(byte[] leaf, ulong index, int shift)
    {
        uint magic = BinaryPrimitives.ReadUInt32LittleEndian(leaf.AsSpan(ZapPhys.LeafMagicOffset));
        ulong prefix = BinaryPrimitives.ReadUInt64LittleEndian(leaf.AsSpan(ZapPhys.LeafPrefix));
        int length = BinaryPrimitives.ReadUInt16LittleEndian(leaf.AsSpan(ZapPhys.LeafPrefixLength));
        if (BinaryPrimitives.ReadUInt64LittleEndian(leaf) != ZapPhys.LeafBlockMagic || magic != ZapPhys.LeafMagic)
        {
            throw Bad($"has no leaf where table entry {index} leads");
        }

        if (length > shift || index >> (shift - length) != prefix)
        {
            throw Bad($"has at table entry {index} a leaf for prefix {prefix:x} of {length} bits");
        }
    }

    private List<OfflineZapEntry> LeafEntries(byte[] leaf, ulong salt, ulong normFlags)
    {
        int size = leaf.Length, chunks = ZapPhys.LeafChunkCount(size);
        var entries = new List<OfflineZapEntry>();
        for (int c = 0; c < chunks; c++)
        {
            ReadOnlySpan<byte> e = leaf.AsSpan(ZapPhys.LeafChunkOffset(size, c), ZapPhys.LeafChunkSize);
            if (e[0] != ZapPhys.ChunkEntry)
            {
                continue;
            }

            int width = e[ZapPhys.EntryIntLength];
            int nameLength = BinaryPrimitives.ReadUInt16LittleEndian(e[ZapPhys.EntryNameLength..]);
            int count = BinaryPrimitives.ReadUInt16LittleEndian(e[ZapPhys.EntryValueCount..]);
            if (width is not (1 or 2 or 4 or 8) || nameLength == 0 || nameLength > 1024 || width * count > size)
            {
                throw Bad($"has an entry with {count} values of {width} bytes and a name of {nameLength}");
            }

            byte[] name = ArrayBytes(leaf, BinaryPrimitives.ReadUInt16LittleEndian(e[ZapPhys.EntryNameChunk..]), nameLength);
            byte[] raw = ArrayBytes(leaf, BinaryPrimitives.ReadUInt16LittleEndian(e[ZapPhys.EntryValueChunk..]), width * count);
            var values = new ulong[count];
            for (int i = 0; i < count; i++)
            {
                for (int b = 0; b < width; b++)
                {
                    values[i] = (values[i] << 8) | raw[(i * width) + b];
                }
            }

            ulong hash = BinaryPrimitives.ReadUInt64LittleEndian(e[ZapPhys.EntryHash..]);
            int bits = BinaryPrimitives.ReadUInt16LittleEndian(leaf.AsSpan(ZapPhys.LeafPrefixLength));
            ulong prefix = BinaryPrimitives.ReadUInt64LittleEndian(leaf.AsSpan(ZapPhys.LeafPrefix));
            if (name[^1] != 0 || hash != ZapHash.Of(salt, normFlags, name.AsSpan(0, nameLength - 1)) || (bits > 0 && hash >> (64 - bits) != prefix))
            {
                throw Bad($"has an entry '{Encoding.UTF8.GetString(name)}' where its hash {hash:x} does not belong");
            }

            entries.Add(new OfflineZapEntry(name[..^1], width, values, hash));
        }

        if (entries.Count != BinaryPrimitives.ReadUInt16LittleEndian(leaf.AsSpan(ZapPhys.LeafEntries)))
        {
            throw Bad("has a leaf that miscounts its entries");
        }

        return entries;
    }

    private byte[] ArrayBytes(byte[] leaf, int chunk, int length)
    {
        var bytes = new byte[length];
        for (int done = 0; done < length;)
        {
            if (chunk >= ZapPhys.LeafChunkCount(leaf.Length))
            {
                throw Bad($"has an array that leads to chunk {chunk}");
            }

            ReadOnlySpan<byte> c = leaf.AsSpan(ZapPhys.LeafChunkOffset(leaf.Length, chunk), ZapPhys.LeafChunkSize);
            if (c[0] != ZapPhys.ChunkArray)
            {
                throw Bad($"has an array in chunk {chunk} of kind {c[0]}");
            }

            int n = Math.Min(ZapPhys.ChunkArrayBytes, length - done);
            c.Slice(1, n).CopyTo(bytes.AsSpan(done));
            done += n;
            chunk = BinaryPrimitives.ReadUInt16LittleEndian(c[ZapPhys.ChunkArrayNext..]);
        }

        return bytes;
    }
}
