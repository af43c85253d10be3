using System.Buffers.Binary;
using System.Runtime.InteropServices;
using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <content>Changes to what blocks hold.</content>
internal sealed unsafe partial class ImageMutator
{
    /// <summary>Where in a dnode its one-byte and two-byte fields lie.</summary>
    private static readonly (int At, int Width)[] s_dnodeFields =
    [
        (0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 2), (10, 2), (16, 8), (24, 8),
    ];

    /// <summary>Where in the head of a fat ZAP, and in that of a leaf, the numbers lie that sizes and walks depend on.</summary>
    private static readonly (int At, int Width)[] s_zapFields =
    [
        (0, 8), (8, 8), (16, 8), (24, 4), (24, 8), (28, 4), (30, 2), (32, 2), (34, 2), (36, 2), (32, 8), (40, 8), (48, 2), (50, 2), (48, 8), (56, 8), (64, 8), (72, 8), (80, 8), (88, 8), (96, 8),
    ];

    private static bool IsZap(DmuOt type) => type is DmuOt.ObjectDirectory or DmuOt.DslDirChildMap or DmuOt.DslDsSnapMap or DmuOt.DslProps
        or DmuOt.DirectoryContents or DmuOt.MasterNode or DmuOt.UnlinkedSet or DmuOt.ZapOther or DmuOt.ErrorLog or DmuOt.PoolProps
        or DmuOt.NextClones or DmuOt.ScrubQueue or DmuOt.UsergroupUsed or DmuOt.UsergroupQuota;

    /// <summary>A value that finds the edge of something, made from what is there.</summary>
    private ulong Interesting(ulong old, int width)
    {
        ulong value = _random.Next(16) switch
        {
            0 => 0,
            1 => 1,
            2 => old + 1,
            3 => old - 1,
            4 => old ^ (1UL << _random.Next(width * 8)),
            5 => ulong.MaxValue,
            6 => ulong.MaxValue >> 1,
            7 => 1UL << _random.Next(width * 8),
            8 => (1UL << _random.Next(width * 8)) - 1,
            9 => old << (1 + _random.Next(16)),
            10 => (ulong)_random.Next(64),
            11 => (ulong)_random.Next(1 << 16),
            12 => (ulong)_random.Next(int.MaxValue) << 9,
            13 => ~old,
            _ => ((ulong)_random.Next(int.MaxValue) << 33) ^ ((ulong)_random.Next(int.MaxValue) << 3) ^ (ulong)_random.Next(256),
        };
        return width == 8 ? value : value & ((1UL << (width * 8)) - 1);
    }

    private static ulong GetNumber(ReadOnlySpan<byte> at, int width) => width switch
    {
        1 => at[0],
        2 => BinaryPrimitives.ReadUInt16LittleEndian(at),
        4 => BinaryPrimitives.ReadUInt32LittleEndian(at),
        _ => BinaryPrimitives.ReadUInt64LittleEndian(at),
    };

    private static void PutNumber(Span<byte> at, int width, ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        bytes[..width].CopyTo(at);
    }

    private void SetField(Span<byte> content, int at, int width)
    {
        if (at + width > content.Length)
        {
            return;
        }

        ulong old = GetNumber(content[at..], width), value = Interesting(old, width);
        PutNumber(content[at..], width, value);
        _story.Append($"{at:x}+{width} {old:x} to {value:x}; ");
    }

    private void AnyField(byte[] content)
    {
        int width = _random.Pick(1, 2, 4, 8);
        int used = Array.FindLastIndex(content, static b => b != 0) + 1;
        int reach = Math.Max(width, _random.OneIn(3) ? content.Length : Math.Min(content.Length, used));
        SetField(content, _random.Next(reach / width) * width, width);
    }

    /// <summary>Where a dnode in use begins; 0 if there is none.</summary>
    private int PickDnode(byte[] content)
    {
        int count = content.Length / DnodePhys.SizeOf;
        for (int tries = 0; tries < 40; tries++)
        {
            int at = _random.Next(count) * DnodePhys.SizeOf;
            if (content[at] != 0)
            {
                return at;
            }
        }

        return 0;
    }

    private void DnodeField(byte[] content)
    {
        int dn = PickDnode(content);
        (int at, int width) = _random.Pick<(int, int)>(s_dnodeFields);
        SetField(content, dn + at, width);
    }

    private void BonusField(byte[] content)
    {
        int dn = PickDnode(content);
        int bonus = DnodePhys.BlkptrOffset + (content[dn + 3] * Blkptr.SizeOf);
        int length = Math.Min(BinaryPrimitives.ReadUInt16LittleEndian(content.AsSpan(dn + 10)), DnodePhys.SizeOf - bonus);
        int width = _random.Pick(2, 4, 8, 8, 8);
        if (length >= width)
        {
            SetField(content, dn + bonus + (_random.Next(length / width) * width), width);
        }
        else
        {
            SetField(content, dn + 10, 2);
        }
    }

    /// <summary>Where a pointer lies that leads somewhere; -1 if there is none.</summary>
    private int PickPointer(byte[] content, bool indirect)
    {
        int count = content.Length / (indirect ? Blkptr.SizeOf : DnodePhys.SizeOf);
        for (int tries = 0; tries < 60 && count > 0; tries++)
        {
            int at = _random.Next(count) * (indirect ? Blkptr.SizeOf : DnodePhys.SizeOf);
            if (!indirect)
            {
                // Rarely one that the dnode does not have.
                at += DnodePhys.BlkptrOffset + (_random.Next(_random.OneIn(8) ? 3 : Math.Clamp((int)content[at + 3], 1, 3)) * Blkptr.SizeOf);
            }

            if (!MemoryMarshal.Read<Blkptr>(content.AsSpan(at)).IsHole)
            {
                return at;
            }
        }

        return -1;
    }

    private bool IsRow(byte[] content, out int at)
    {
        // An indirect block has a pointer at 0; the first word of a dnode or of an object set is small.
        bool indirect = content.Length >= 1024 && GetNumber(content.AsSpan(48), 8) >> 32 != 0 && GetNumber(content, 8) >> 48 == 0;
        at = PickPointer(content, indirect);
        return indirect;
    }

    private void ChangePointer(byte[] content)
    {
        bool row = IsRow(content, out int at);
        if (at < 0)
        {
            AnyField(content);
            return;
        }

        ref Blkptr bp = ref MemoryMarshal.AsRef<Blkptr>(content.AsSpan(at));
        ImageBlock other = _map.Blocks[_random.Next(_map.Blocks.Count)];
        int what = _random.Next(12);
        _story.Append($"pointer {at:x} ({what}); ");
        switch (what)
        {
            case 0:
                // Another block under its own right checksum.
                bp = other.Pointer;
                break;
            case 1:
                // No checksum at all, and somewhere else: with this a tree can lead back into itself.
                Blkptr to = other.Pointer;
                to.ChecksumType = ZioChecksumType.Off;
                to.Level = bp.Level;
                to.Type = bp.Type;
                bp = to;
                break;
            case 2:
                // No checksum at all, and noise behind it.
                bp.ChecksumType = ZioChecksumType.Off;
                bp.Compress = _random.Pick(ZioCompressType.Off, ZioCompressType.Lzjb, ZioCompressType.Zle, ZioCompressType.Gzip6, (ZioCompressType)_random.Next(256));
                bp.Dva0 = Dva.Create(0, (ulong)_random.Next((int)(_map.Asize >> 9)) << 9, bp.Dva0.Asize);
                break;
            case 3:
                bp.Level = _random.Next(32);
                break;
            case 4:
                bp.Type = (DmuOt)_random.Next(256);
                break;
            case 5:
                bp.LogicalSize = (1 + _random.Next(_random.OneIn(2) ? 256 : 65536)) << 9;
                bp.PhysicalSize = _random.OneIn(2) ? bp.LogicalSize : bp.PhysicalSize;
                break;
            case 6:
                // Addresses: vdev, grid, gang bit, allocated size, offset.
                SetField(content, at + (_random.Next(6) * 8), _random.Pick(1, 4, 8));
                break;
            case 7:
                bp.Birth = Interesting(bp.Birth, 8);
                break;
            case 8:
                bp.Fill = Interesting(bp.Fill, 8);
                break;
            case 9 when row:
                // Two of a row change places.
                int two = PickPointer(content, indirect: true);
                if (two < 0)
                {
                    break;
                }

                Blkptr kept = bp;
                bp = MemoryMarshal.Read<Blkptr>(content.AsSpan(two));
                MemoryMarshal.Write(content.AsSpan(two), kept);
                break;
            case 10:
                bp.Dva1 = bp.Dva0;
                bp.Dva2 = bp.Dva0;
                break;
            default:
                SetField(content, at + (_random.Next(Blkptr.SizeOf / 8) * 8), _random.Pick(1, 2, 4, 8));
                break;
        }
    }

    /// <summary>Every pointer of a row becomes the same one; in a dnode, all three.</summary>
    private void RepeatPointers(byte[] content)
    {
        bool row = IsRow(content, out int at);
        if (at < 0)
        {
            AnyField(content);
            return;
        }

        byte[] pointer = content.AsSpan(at, Blkptr.SizeOf).ToArray();
        _story.Append($"pointer {at:x} repeated; ");
        if (row)
        {
            for (int i = 0; i < content.Length; i += Blkptr.SizeOf)
            {
                pointer.CopyTo(content, i);
            }

            return;
        }

        int dn = at / DnodePhys.SizeOf * DnodePhys.SizeOf;
        content[dn + 3] = 3;
        for (int i = 0; i < 3; i++)
        {
            pointer.CopyTo(content, dn + DnodePhys.BlkptrOffset + (i * Blkptr.SizeOf));
        }
    }

    /// <summary>A dnode says that its tree is higher, and its object larger, than it is; its pointers follow, without checksums.</summary>
    private void RaiseTree(byte[] content)
    {
        int dn = PickDnode(content);
        int levels = _random.Pick(2, 3, 4, 5, 6, 7, 8, 31, 255);
        content[dn + 2] = (byte)levels;
        PutNumber(content.AsSpan(dn + 16), 8, Interesting((1UL << 40) - 1, 8));
        _story.Append($"dnode {dn:x} raised to {levels} levels; ");
        ImageBlock[] rows = [.. _map.Blocks.Where(static b => b.IsIndirect)];
        if (rows.Length > 0 && dn + DnodePhys.SizeOf <= content.Length)
        {
            Blkptr bp = rows[_random.Next(rows.Length)].Pointer;
            bp.ChecksumType = ZioChecksumType.Off;
            bp.Level = (levels - 1) & 0x1f;
            bp.Type = (DmuOt)content[dn];
            MemoryMarshal.Write(content.AsSpan(dn + DnodePhys.BlkptrOffset), bp);
        }
    }

    private void ZapField(byte[] content)
    {
        if (_random.OneIn(3))
        {
            // A value of a small ZAP, or any word of a fat one: an object's number, often.
            int at = _random.Next(content.Length / ZapPhys.MicroEntrySize) * ZapPhys.MicroEntrySize;
            SetField(content, at + (_random.OneIn(4) ? 8 : 0), _random.Pick(4, 8));
            return;
        }

        (int where, int width) = _random.Pick<(int, int)>(s_zapFields);
        SetField(content, where, width);
    }

    /// <summary>The next-pointers of a leaf's chunks and hash table run elsewhere: in circles, often, or out of the block.</summary>
    private void ZapChain(byte[] content)
    {
        int buckets = ZapPhys.LeafHashCount(content.Length), count = Math.Max(1, ZapPhys.LeafChunkCount(content.Length));
        for (int left = 1 + _random.Next(6); left > 0; left--)
        {
            if (_random.OneIn(3))
            {
                SetField(content, ZapPhys.LeafHash + (_random.Next(buckets) * 2), 2);
                continue;
            }

            int chunk = _random.Next(count), at = ZapPhys.LeafChunkOffset(content.Length, chunk) + _random.Pick(2, 4, 6, 8, 10, 22);
            if (at + 2 <= content.Length)
            {
                int next = _random.OneIn(3) ? chunk : _random.Next(count + 2);
                PutNumber(content.AsSpan(at), 2, (ulong)next);
                _story.Append($"chunk {chunk} {at:x} to {next}; ");
            }
        }
    }

    private void Replace(byte[] content, ImageBlock from)
    {
        _story.Append($"content of {from}; ");
        from.Content.AsSpan(0, Math.Min(content.Length, from.Content.Length)).CopyTo(content);
    }
}
