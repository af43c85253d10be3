using System.Buffers.Binary;
using System.Runtime.InteropServices;
using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <content>
/// Changes to intent logs: to any block of the chain, to the order of the chain, to its head. The checksums that lie in the blocks are made
/// right again, each for its place in the chain, so that a walk gets past what is wrong with one block to the next.
/// </content>
internal sealed unsafe partial class ImageMutator
{
    private const int LogUnit = 4096;
    private const int LogHeadBytes = 184;
    private const int LogNextAt = 8;
    private const int LogUsedAt = 136;
    private const int LogSealAt = 144;
    private const int LogLongMax = 250;
    private const int RecordHeadBytes = 32;
    private const int WriteBytes = 192;
    private const int WritePointerAt = 64;
    private const ulong AnyCase = 1UL << 63;

    private static readonly int[] s_headerFields = [0, 8, 144, 152, 160];

    private readonly Dictionary<ImageLog, List<ImageLogBlock>> _logs = [];

    /// <summary>One change to a log.</summary>
    private void ChangeLog()
    {
        ImageLog log = _map.Logs[_random.Next(_map.Logs.Count)];
        if (!_logs.TryGetValue(log, out List<ImageLogBlock>? chain))
        {
            chain = [.. log.Blocks.Select(static b => b.Copy())];
            _logs.Add(log, chain);
        }

        _story.Append(log).Append(": ");
        int what = _random.Next(20);
        if (chain.Count == 0 || what == 0)
        {
            ChangeLogHead(log);
            return;
        }

        int at = _random.Next(chain.Count);
        ImageLogBlock block = chain[at];
        _story.Append($"block {at}: ");
        switch (what)
        {
            case 1 or 2 or 3:
                RecordField(chain, block);
                break;
            case 4 or 5:
                RecordName(chain, block);
                break;
            case 6 or 7 or 8:
                for (int left = _random.OneIn(4) ? _random.Next(30) : 1 + _random.Next(3); left >= 0; left--)
                {
                    block.Records.Insert(_random.Next(block.Records.Count + 1), NewRecord(chain));
                }

                break;
            case 9:
                MoveRecords(chain, block);
                break;
            case 10:
                block.Used = _random.OneIn(2) ? Interesting(LogHeadBytes, 8) : (ulong)_random.Next(2 * block.Pointer.LogicalSize);
                _story.Append($"used {block.Used:x}; ");
                break;
            case 11 or 12:
                block.Next = WildPointer(chain, chain[Math.Min(at + 1, chain.Count - 1)].Pointer);
                _story.Append($"next {block.Next}; ");
                break;
            case 13 or 14:
                ChangeOrder(chain, at);
                break;
            case 15:
                block.Pointer = WildPointer(chain, block.Pointer);
                _story.Append($"moved to {block.Pointer}; ");
                break;
            case 16:
                Renumber(chain);
                break;
            case 17:
                Lengthen(chain);
                break;
            case 18:
                block.TornAt = _random.Next(block.Pointer.LogicalSize);
                _story.Append($"torn at {block.TornAt:x}; ");
                break;
            default:
                block.Pointer = block.Pointer with { Birth = WildBirth(block.Pointer.Birth) };
                _story.Append($"born in {block.Pointer.Birth:x}; ");
                break;
        }
    }

    private void ChangeLogHead(ImageLog log) => Edit(log.Owner, content =>
    {
        switch (_random.Next(4))
        {
            case 0:
                Span<byte> pointer = content.AsSpan(ImageLog.HeaderAt + 16, Blkptr.SizeOf);
                MemoryMarshal.Write(pointer, WildPointer([], MemoryMarshal.Read<Blkptr>(pointer)));
                _story.Append("head's pointer; ");
                break;
            case 1:
                SetField(content, ImageLog.HeaderAt + 16 + (_random.Next(Blkptr.SizeOf / 8) * 8), _random.Pick(1, 2, 4, 8));
                break;
            case 2:
                // As if it had been claimed.
                PutNumber(content.AsSpan(ImageLog.HeaderAt), 8, WildBirth(_map.Uberblock.Txg));
                PutNumber(content.AsSpan(ImageLog.HeaderAt + 144), 8, (ulong)_random.Next(2 + (2 * log.Blocks.Count)));
                PutNumber(content.AsSpan(ImageLog.HeaderAt + 152), 8, (ulong)_random.Next(4));
                PutNumber(content.AsSpan(ImageLog.HeaderAt + 160), 8, (ulong)_random.Next(200));
                _story.Append("claimed; ");
                break;
            default:
                SetField(content, ImageLog.HeaderAt + _random.Pick<int>(s_headerFields), 8);
                break;
        }
    });

    private byte[]? PickRecord(ImageLogBlock block) => block.Records.Count == 0 ? null : block.Records[_random.Next(block.Records.Count)];

    private void RecordField(List<ImageLogBlock> chain, ImageLogBlock block)
    {
        if (PickRecord(block) is not { } record)
        {
            block.Records.Add(NewRecord(chain));
            return;
        }

        switch (_random.Next(8))
        {
            case 0:
                PutNumber(record, 8, (uint)_random.Next(24) | (_random.OneIn(4) ? AnyCase : 0UL));
                break;
            case 1:
                PutNumber(record.AsSpan(8), 8, _random.OneIn(2) ? (ulong)_random.Next(600) & ~7UL : Interesting((ulong)record.Length, 8));
                break;
            case 2:
                PutNumber(record.AsSpan(16), 8, WildBirth(_map.Uberblock.Txg + 1));
                break;
            case 3:
                PutNumber(record.AsSpan(24), 8, Interesting(GetNumber(record.AsSpan(24), 8), 8));
                break;
            case 4 when GetNumber(record, 8) == (ulong)ZilTx.Write && record.Length == WriteBytes:
                MemoryMarshal.Write(record.AsSpan(WritePointerAt), WildPointer(chain, MemoryMarshal.Read<Blkptr>(record.AsSpan(WritePointerAt))));
                break;
            case 4 or 5:
                PutNumber(record.AsSpan(RecordHeadBytes + (8 * _random.Next(Math.Clamp((record.Length - RecordHeadBytes) / 8, 1, 2)))), 8, WildObject(chain));
                break;
            default:
                SetField(record, _random.Next(Math.Min(record.Length, WriteBytes) / 8) * 8, 8);
                break;
        }

        _story.Append($"record {record.Length}: {Convert.ToHexString(record.AsSpan(0, Math.Min(record.Length, RecordHeadBytes + 16)))}; ");
    }

    /// <summary>Names without an end, empty, of dots, with a slash, of too many bytes.</summary>
    private void RecordName(List<ImageLogBlock> chain, ImageLogBlock block)
    {
        if (PickRecord(block) is not { } record || ZilRecord.FixedSize((ZilTx)GetNumber(record, 8)) is not (> 0 and var at) || at >= record.Length)
        {
            block.Records.Add(NewRecord(chain));
            return;
        }

        Span<byte> room = record.AsSpan(at);
        if (_random.OneIn(3))
        {
            room.Fill((byte)(1 + _random.Next(255)));
        }
        else
        {
            byte[] name = WildName(chain);
            name.AsSpan(0, Math.Min(name.Length, room.Length)).CopyTo(room);
        }

        _story.Append($"name {Convert.ToHexString(room[..Math.Min(24, room.Length)])}; ");
    }

    private void MoveRecords(List<ImageLogBlock> chain, ImageLogBlock block)
    {
        ImageLogBlock other = chain[_random.Next(chain.Count)];
        if (PickRecord(block) is not { } record)
        {
            return;
        }

        int what = _random.Next(4);
        _story.Append($"records moved ({what}); ");
        switch (what)
        {
            case 0:
                other.Records.Insert(_random.Next(other.Records.Count + 1), (byte[])record.Clone());
                break;
            case 1:
                block.Records.Reverse();
                break;
            case 2:
                block.Records.Remove(record);
                break;
            default:
                block.Records.Remove(record);
                other.Records.Add(record);
                break;
        }
    }

    private void ChangeOrder(List<ImageLogBlock> chain, int at)
    {
        int other = _random.Next(chain.Count), what = _random.Next(5);
        _story.Append($"order ({what}, {other}); ");
        switch (what)
        {
            case 0:
                chain.RemoveAt(at);
                break;
            case 1:
                (chain[at], chain[other]) = (chain[other], chain[at]);
                break;
            case 2:
                // Back to an earlier one, or to itself: sealed for where it is first.
                chain.Insert(Math.Max(at, other) + 1, chain[Math.Min(at, other)]);
                break;
            case 3:
                // Inside of the one before.
                ImageLogBlock outer = chain[at];
                Blkptr inside = outer.Pointer with { LogicalSize = LogUnit, PhysicalSize = LogUnit };
                inside.Dva0 = Dva.Create(outer.Pointer.Dva0.Vdev, outer.Pointer.Dva0.Offset + (_random.OneIn(2) ? (ulong)LogUnit : 0), LogUnit);
                if (at + 1 < chain.Count)
                {
                    chain[at + 1].Pointer = inside with { Checksum = chain[at + 1].Pointer.Checksum };
                }

                break;
            default:
                chain.RemoveRange(at, chain.Count - at);
                break;
        }
    }

    /// <summary>Numbers of records, or their txgs, over the whole chain; or those of the blocks.</summary>
    private void Renumber(List<ImageLogBlock> chain)
    {
        int what = _random.Next(4), field = _random.Pick(16, 24, 24);
        ulong first = Interesting(_map.Uberblock.Txg, 8), step = _random.Pick(0UL, 0UL, 1UL, ulong.MaxValue, 1UL << 32);
        _story.Append($"all numbers ({what}, {field}) from {first:x} by {step:x}; ");
        if (what == 0)
        {
            Checksum256 old = chain[0].Pointer.Checksum;
            chain[0].Pointer = chain[0].Pointer with { Checksum = new Checksum256(old.W0, old.W1, _random.OneIn(2) ? first : old.W2, _random.OneIn(2) ? first : old.W3) };
            return;
        }

        foreach (byte[] record in chain.SelectMany(static b => b.Records))
        {
            PutNumber(record.AsSpan(field), 8, first);
            first += step;
        }
    }

    /// <summary>Very many blocks, some of them with records.</summary>
    private void Lengthen(List<ImageLogBlock> chain)
    {
        int more = _random.Next(LogLongMax);
        _story.Append($"{more} blocks more; ");
        for (; more > 0; more--)
        {
            Blkptr bp = chain[0].Pointer;
            bp.LogicalSize = LogUnit;
            bp.PhysicalSize = LogUnit;
            bp.Dva0 = Dva.Create(0, _freshAt, LogUnit);
            bp.Birth = _map.Uberblock.Txg + 1;
            _freshAt += LogUnit;
            chain.Add(new ImageLogBlock { Pointer = bp, Records = _random.OneIn(3) ? [NewRecord(chain)] : [] });
        }
    }

    private ulong WildBirth(ulong near) => _random.Next(6) switch
    {
        0 => 0,
        1 => _map.Uberblock.Txg,
        2 => _map.Uberblock.Txg + 1,
        3 => _map.Uberblock.Txg + 1 + (ulong)_random.Next(8),
        _ => Interesting(near, 8),
    };

    private ulong WildObject(List<ImageLogBlock> chain)
    {
        byte[]? other = PickRecord(chain[_random.Next(chain.Count)]);
        return _random.Next(8) switch
        {
            0 => (ulong)_random.Next(5),
            1 => (ulong)_random.Next(400),
            2 => (1UL << 48) - (ulong)_random.Next(2),
            3 => Interesting(1UL << 20, 8),
            4 => 1UL << _random.Next(40),
            _ when other is { Length: >= RecordHeadBytes + 16 } => GetNumber(other.AsSpan(RecordHeadBytes + (8 * _random.Next(2))), 8),
            _ => 3,
        };
    }

    private ulong WildSize() => _random.Next(8) switch
    {
        0 => 0,
        1 => 1UL << 63,
        2 => long.MaxValue,
        3 => ulong.MaxValue - (ulong)_random.Next(5000),
        4 => 1UL << _random.Next(64),
        5 => (ulong)_random.Next(1 << 18),
        6 => (ulong)_random.Next(int.MaxValue) << 9,
        _ => (ulong)_random.Next(10_000),
    };

    private byte[] WildName(List<ImageLogBlock> chain)
    {
        switch (_random.Next(9))
        {
            case 0:
                return [0];
            case 1:
                return ".\0"u8.ToArray();
            case 2:
                return "..\0"u8.ToArray();
            case 3:
                return "a/b\0"u8.ToArray();
            case 4:
                byte[] tooLong = new byte[_random.Pick(255, 256, 300, 1023)];
                tooLong.AsSpan().Fill((byte)'n');
                return tooLong;
            case 5:
                return [0xff, (byte)_random.Next(256), (byte)_random.Next(256), 0];
            case 6 when PickRecord(chain[_random.Next(chain.Count)]) is { } other && ZilRecord.FixedSize((ZilTx)GetNumber(other, 8)) is > 0 and var at && at < other.Length:
                return other[at..];
            default:
                return [(byte)'w', (byte)('0' + _random.Next(10)), 0];
        }
    }

    /// <summary>A pointer to nonsense that keeps the number in the chain, so that what it leads to can be sealed.</summary>
    private Blkptr WildPointer(List<ImageLogBlock> chain, Blkptr bp)
    {
        switch (_random.Next(12))
        {
            case 0 when chain.Count > 0:
                bp.Dva0 = chain[_random.Next(chain.Count)].Pointer.Dva0;
                break;
            case 0 or 1:
                // Over a block in use.
                bp.Dva0 = Dva.Create(0, _map.Blocks[_random.Next(_map.Blocks.Count)].Pointer.Dva0.Offset, bp.Dva0.Asize);
                break;
            case 2:
                bp = _map.Blocks[_random.Next(_map.Blocks.Count)].Pointer with { Checksum = bp.Checksum };
                break;
            case 3:
                bp = _map.Blocks[_random.Next(_map.Blocks.Count)].Pointer;
                break;
            case 4:
                bp.Dva0 = Dva.Create((uint)_random.Next(4), _random.Pick(_map.Asize, _map.Asize - LogUnit, (1UL << 62) - 512, 0UL), bp.Dva0.Asize);
                break;
            case 5:
                bp.LogicalSize = (1 + _random.Next(_random.OneIn(2) ? 256 : 65536)) << 9;
                bp.PhysicalSize = bp.LogicalSize;
                bp.Dva0 = Dva.Create(0, _freshAt, (ulong)bp.LogicalSize);
                break;
            case 6:
                bp.Dva0 = Dva.Create(0, (ulong)_random.Next((int)(_map.Asize >> 9)) << 9, _random.OneIn(2) ? bp.Dva0.Asize : Interesting(LogUnit, 3) << 9);
                bp.ChecksumType = _random.Pick(bp.ChecksumType, ZioChecksumType.Off);
                break;
            case 7:
                bp.Dva1 = _random.OneIn(2) ? bp.Dva0 : Dva.Create(0, _freshAt, bp.Dva0.Asize);
                break;
            case 8:
                bp = default;
                break;
            case 9:
                bp.Dva0 = Dva.Create(0, bp.Dva0.Offset, bp.Dva0.Asize, gang: true);
                break;
            case 10:
                bp.Birth = WildBirth(bp.Birth);
                break;
            default:
                Span<byte> bytes = MemoryMarshal.AsBytes(new Span<Blkptr>(ref bp));
                SetField(bytes, _random.Next(Blkptr.SizeOf / 8) * 8, _random.Pick(1, 2, 4, 8));
                break;
        }

        return bp;
    }

    /// <summary>A record of any kind there is, its fields as they come.</summary>
    private byte[] NewRecord(List<ImageLogBlock> chain)
    {
        var kind = (ZilTx)(1 + _random.Next(_random.OneIn(5) ? 22 : 11));
        int fixedBytes = Math.Max(ZilRecord.FixedSize(kind), RecordHeadBytes + (8 * _random.Next(8)));
        byte[] tail = [];
        if (kind is ZilTx.Write)
        {
            tail = _random.OneIn(2) ? [] : new byte[_random.Next(600)];
        }
        else if (kind is not (ZilTx.Truncate or ZilTx.SetAttr or ZilTx.Write2))
        {
            tail = [.. WildName(chain), .. _random.OneIn(3) ? WildName(chain) : "target\0"u8];
        }

        byte[] record = new byte[(fixedBytes + tail.Length + 7) & ~7];
        tail.CopyTo(record, fixedBytes);
        PutNumber(record, 8, (ulong)kind | (_random.OneIn(8) ? AnyCase : 0UL));
        PutNumber(record.AsSpan(8), 8, (ulong)record.Length);
        PutNumber(record.AsSpan(16), 8, _random.OneIn(6) ? WildBirth(0) : _map.Uberblock.Txg + 1);
        PutNumber(record.AsSpan(24), 8, _random.OneIn(6) ? WildSize() : 1000 + (ulong)_random.Next(1000));
        for (int at = RecordHeadBytes; at + 8 <= fixedBytes; at += 8)
        {
            PutNumber(record.AsSpan(at), 8, at <= RecordHeadBytes + 8 && kind is not (ZilTx.Write or ZilTx.Truncate or ZilTx.SetAttr or ZilTx.Write2) ? WildObject(chain)
                : at == RecordHeadBytes ? WildObject(chain) : WildSize());
        }

        if (kind is ZilTx.Write)
        {
            MemoryMarshal.Write(record.AsSpan(WritePointerAt), _random.OneIn(4) ? default : WildData());
        }

        _story.Append($"new {kind} {Convert.ToHexString(record.AsSpan(RecordHeadBytes, Math.Min(record.Length - RecordHeadBytes, 24)))}; ");
        return record;
    }

    /// <summary>A pointer to data of a write: to a block of the pool as it is, or to anything at all, without a checksum.</summary>
    private Blkptr WildData()
    {
        Blkptr bp = _map.Blocks[_random.Next(_map.Blocks.Count)].Pointer;
        bp.Birth = _random.OneIn(2) ? _map.Uberblock.Txg + 1 : bp.Birth;
        if (_random.OneIn(2))
        {
            bp.ChecksumType = ZioChecksumType.Off;
            bp.Level = 0;
            bp.Type = DmuOt.PlainFileContents;
            bp.Compress = ZioCompressType.Off;
            bp.LogicalSize = _random.Pick(512, 4096, 131072, 131072, 1 << 20, 32 << 20);
            bp.PhysicalSize = bp.LogicalSize;
            bp.Dva1 = default;
            bp.Dva2 = default;
            bp.Dva0 = Dva.Create(0, _random.OneIn(2) ? _freshAt : (ulong)_random.Next((int)(_map.Asize >> 9)) << 9, (ulong)bp.LogicalSize);
        }

        return bp;
    }

    /// <summary>Writes the changed chains, each block sealed for its place; the heads follow through the object sets.</summary>
    private void SealLogs()
    {
        foreach ((ImageLog log, List<ImageLogBlock> chain) in _logs)
        {
            if (log.Blocks.Count == 0)
            {
                continue;
            }

            Blkptr first = chain.Count > 0 ? chain[0].Pointer : log.End, pointer = first;
            if (!first.Equals(log.Blocks[0].Pointer))
            {
                Edit(log.Owner, content => MemoryMarshal.Write(content.AsSpan(ImageLog.HeaderAt + 16), first));
            }

            var done = new HashSet<ImageLogBlock>();
            for (int i = 0; i < chain.Count; i++)
            {
                Blkptr next = i + 1 < chain.Count ? chain[i + 1].Pointer : log.End;
                Checksum256 number = pointer.Checksum;
                next.Checksum = new Checksum256(number.W0, number.W1, number.W2, number.W3 + 1);
                if (done.Add(chain[i]))
                {
                    WriteLogBlock(chain[i], pointer, chain[i].Next ?? next);
                }

                pointer = next;
            }
        }
    }

    private void WriteLogBlock(ImageLogBlock block, in Blkptr self, in Blkptr next)
    {
        byte[] records = [.. block.Records.SelectMany(static r => r)];
        int room = Math.Clamp(self.LogicalSize, LogUnit, 1 << 17) & -LogUnit, used = Math.Min(room, LogHeadBytes + records.Length);
        byte[] bytes = new byte[room];
        records.AsSpan(0, used - LogHeadBytes).CopyTo(bytes.AsSpan(LogHeadBytes));
        MemoryMarshal.Write(bytes.AsSpan(LogNextAt), next);
        ulong stated = block.Used ?? (ulong)used;
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(LogUsedAt), stated);
        int written = Math.Clamp(((int)Math.Min(stated, (ulong)room) + LogUnit - 1) & -LogUnit, LogUnit, room);
        fixed (byte* p = bytes)
        {
            ZioEck.Seal(ZioChecksumType.Zilog2, p, written, LogSealAt, self.Checksum);
            if (block.TornAt >= 0 && block.TornAt < written)
            {
                bytes.AsSpan(block.TornAt & ~511, Math.Min(512, written - (block.TornAt & ~511))).Clear();
            }

            Write(self.Dva0.Vdev, (long)(self.Dva0.Offset + Vdev.DataStart), p, written);
        }
    }
}
