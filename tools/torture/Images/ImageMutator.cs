using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>
/// Makes a hostile image out of a clean pool, as a seed says: one to four changes. Those to the content of blocks are sealed: every
/// checksum from there up to the uberblock is made right again, so that the damage gets past them; a block that has become too large
/// for its place is stored elsewhere, uncompressed. Others change the bytes on the disk as they are. Needs a memory system.
/// </summary>
internal sealed unsafe partial class ImageMutator
{
    private const int ChangesMax = 4;

    // In a pool whose logs have records all but one change of so many are to them, in one with empty ones one of so many.
    private const int LogShare = 4;
    private const int UnsealedBytesMax = 40;

    private readonly ImageMap _map;
    private readonly SeededRandom _random;
    private readonly MemoryVdevIo[] _disks;
    private readonly StringBuilder _story = new();
    private readonly Dictionary<ImageBlock, List<Action<byte[]>>> _edits = [];
    private Action<Span<byte>>? _editUberblock;
    private ulong _freshAt;

    private ImageMutator(ImageMap map, ulong seed)
    {
        _map = map;
        _random = new SeededRandom(seed);
        _disks = [.. map.Disks.Select(static d => d.Clone())];
        _freshAt = (map.Asize - (8UL << 20)) & ~0xfffffUL;
    }

    /// <summary>The image of a seed, and what was done to it.</summary>
    internal static (MemoryVdevIo[] Disks, string Story) Make(ImageMap map, ulong seed)
    {
        var mutator = new ImageMutator(map, seed);
        for (int left = 1 + mutator._random.Next(ChangesMax); left > 0; left--)
        {
            mutator.Change();
        }

        mutator.SealLogs();
        mutator.Seal();
        return (mutator._disks, mutator._story.ToString());
    }

    private void Change()
    {
        if (_map.Logs.Count > 0 && _random.OneIn(LogShare) != _map.HasRecords)
        {
            ChangeLog();
            return;
        }

        switch (_random.Next(19))
        {
            case 0:
                UnsealedBytes();
                break;
            case 1:
                SwapUnsealed();
                break;
            case 2:
                ChangeLabel();
                break;
            case 3:
                ChangeUberblock();
                break;
            case 4 or 5:
                Edit(PickBlock(static b => !b.IsIndirect), AnyField);
                break;
            case 6 or 7:
                Edit(PickBlock(static b => !b.IsIndirect && b.Pointer.Type == DmuOt.Dnode), DnodeField);
                break;
            case 8 or 9:
                Edit(PickBlock(static b => !b.IsIndirect && b.Pointer.Type == DmuOt.Dnode), BonusField);
                break;
            case 10 or 11 or 12:
                Edit(PickBlock(static b => b.IsIndirect || b.Pointer.Type is DmuOt.Dnode or DmuOt.Objset), ChangePointer);
                break;
            case 13:
                Edit(PickBlock(static b => b.IsIndirect || b.Pointer.Type is DmuOt.Dnode or DmuOt.Objset), RepeatPointers);
                break;
            case 14:
                Edit(PickBlock(static b => !b.IsIndirect && b.Pointer.Type == DmuOt.Dnode), RaiseTree);
                break;
            case 15 or 16:
                Edit(PickBlock(static b => !b.IsIndirect && IsZap(b.Pointer.Type)), ZapField);
                break;
            case 17:
                Edit(PickBlock(static b => !b.IsIndirect && IsZap(b.Pointer.Type)), ZapChain);
                break;
            default:
                ImageBlock from = PickBlock(static _ => true);
                Edit(PickBlock(static b => !b.IsIndirect), c => Replace(c, from));
                break;
        }
    }

    /// <summary>A block of a kind, or any if there is none.</summary>
    private ImageBlock PickBlock(Func<ImageBlock, bool> kind)
    {
        ImageBlock[] some = [.. _map.Blocks.Where(kind)];
        return some.Length > 0 ? some[_random.Next(some.Length)] : _map.Blocks[_random.Next(_map.Blocks.Count)];
    }

    private void Edit(ImageBlock block, Action<byte[]> edit)
    {
        _story.Append(block).Append(": ");
        if (!_edits.TryGetValue(block, out List<Action<byte[]>>? edits))
        {
            _edits.Add(block, edits = []);
        }

        // What is to be done is drawn now, so that it does not depend on the order in which blocks are sealed; done, when those below are.
        byte[] trial = (byte[])block.Content.Clone();
        edit(trial);
        edits.Add(content =>
        {
            for (int i = 0; i < content.Length; i++)
            {
                if (trial[i] != block.Content[i])
                {
                    content[i] = trial[i];
                }
            }
        });
    }

    private void Seal()
    {
        var contents = new Dictionary<ImageBlock, byte[]>();
        for (ImageBlock[] todo = [.. _edits.Keys]; todo.Length > 0;)
        {
            foreach (ImageBlock b in todo)
            {
                contents.TryAdd(b, (byte[])b.Content.Clone());
            }

            todo = [.. todo.Where(static b => b.Parent is not null).Select(static b => b.Parent!).Distinct().Where(b => !contents.ContainsKey(b))];
        }

        Uberblock ub = _map.Uberblock;
        foreach (ImageBlock b in contents.Keys.OrderByDescending(static b => b.Depth).ThenBy(static b => b.Pointer.Dva0.Offset))
        {
            _edits.GetValueOrDefault(b)?.ForEach(edit => edit(contents[b]));
            Blkptr bp = Store(b.Pointer, contents[b]);
            if (b.Parent is not null)
            {
                MemoryMarshal.Write(contents[b.Parent].AsSpan(b.PointerAt), bp);
            }
            else
            {
                ub.RootBp = bp;
            }
        }

        _editUberblock?.Invoke(MemoryMarshal.AsBytes(new Span<Uberblock>(ref ub)));
        int slot = Uberblock.SlotFor(_map.Uberblock.Txg, _map.Ashift), size = Uberblock.SlotSize(_map.Ashift);
        byte* bytes = stackalloc byte[size];
        for (int i = 0; i < VdevLabel.Count * _disks.Length; i++)
        {
            int disk = i / VdevLabel.Count;
            long at = VdevLabel.OffsetOf(i % VdevLabel.Count, _disks[disk].Size) + VdevLabel.UberblockRingOffset + ((long)slot * size);
            ub.Emit(bytes, size, at);
            Write((uint)disk, at, bytes, size);
        }
    }

    private Blkptr Store(Blkptr bp, byte[] content)
    {
        var stored = new byte[content.Length];
        fixed (byte* src = content, dst = stored)
        {
            int room = bp.PhysicalSize;
            bool fits = bp.Compress == ZioCompressType.Off
                || (ZioCompress.Compress(bp.Compress, src, content.Length, dst) is var n && n > 0 && n <= room);
            if (bp.Compress == ZioCompressType.Off || !fits)
            {
                content.CopyTo(stored, 0);
            }

            if (!fits)
            {
                bp.Compress = ZioCompressType.Off;
                bp.PhysicalSize = content.Length;
                bp.Dva1 = default;
                bp.Dva2 = default;
                bp.Dva0 = Dva.Create(0, _freshAt, (ulong)content.Length);
                _freshAt += (ulong)(content.Length + 0xffff) & ~0xffffUL;
            }

            bp.Checksum = ZioChecksum.Compute(bp.ChecksumType, dst, bp.PhysicalSize);
            for (int copy = 0; copy < bp.DvaCount; copy++)
            {
                Write(bp[copy].Vdev, (long)(bp[copy].Offset + Vdev.DataStart), dst, bp.PhysicalSize);
            }
        }

        return bp;
    }

    private void UnsealedBytes()
    {
        ImageBlock block = _map.Blocks[_random.Next(_map.Blocks.Count)];
        _story.Append(block).Append(": bytes unsealed; ");
        for (int left = 1 + _random.Next(UnsealedBytesMax); left > 0; left--)
        {
            byte value = (byte)_random.Next(256);
            Dva dva = block.Pointer[_random.Next(Math.Max(1, block.Pointer.DvaCount))];
            Write(dva.Vdev, (long)(dva.Offset + Vdev.DataStart) + _random.Next(block.Pointer.PhysicalSize), &value, 1);
        }
    }

    private void SwapUnsealed()
    {
        ImageBlock one = _map.Blocks[_random.Next(_map.Blocks.Count)], two = _map.Blocks[_random.Next(_map.Blocks.Count)];
        int size = Math.Min(one.Pointer.PhysicalSize, two.Pointer.PhysicalSize);
        _story.Append(one).Append(" and ").Append(two).Append(": swapped; ");
        long first = (long)(one.Pointer.Dva0.Offset + Vdev.DataStart), second = (long)(two.Pointer.Dva0.Offset + Vdev.DataStart);
        byte[] a = new byte[size], b = new byte[size];
        fixed (byte* p = a, q = b)
        {
            _ = _disks[one.Pointer.Dva0.Vdev].Read(first, p, size);
            _ = _disks[two.Pointer.Dva0.Vdev].Read(second, q, size);
            Write(one.Pointer.Dva0.Vdev, first, q, size);
            Write(two.Pointer.Dva0.Vdev, second, p, size);
        }
    }

    /// <summary>Changes numbers in the configuration of all labels of a disk, and seals them.</summary>
    private void ChangeLabel()
    {
        int disk = _random.Next(_disks.Length);
        byte[] area = new byte[VdevLabel.ConfigSize];
        _map.Labels[disk].CopyTo(area, 0);
        for (int left = 1 + _random.Next(4); left > 0; left--)
        {
            int at = _random.Next(_map.Labels[disk].Length) & ~3;
            uint old = BinaryPrimitives.ReadUInt32BigEndian(area.AsSpan(at)), value = (uint)Interesting(old, 4);
            BinaryPrimitives.WriteUInt32BigEndian(area.AsSpan(at), value);
            _story.Append($"label {at:x}: {old:x} to {value:x}; ");
        }

        fixed (byte* p = area)
        {
            for (int label = 0; label < VdevLabel.Count; label++)
            {
                long at = VdevLabel.OffsetOf(label, _disks[disk].Size) + VdevLabel.ConfigOffset;
                ZioEck.Seal(p, area.Length, ZioEck.LabelVerifier(at));
                Write((uint)disk, at, p, area.Length);
            }
        }
    }

    private void ChangeUberblock()
    {
        int at = _random.Next(Uberblock.SizeOf / 8) * 8, width = _random.Pick(1, 2, 4, 8);
        at += width < 8 ? _random.Next(8 / width) * width : 0;
        ulong drawn = Interesting(0, width);
        _story.Append($"uberblock {at:x}+{width}: {drawn:x}; ");
        Action<Span<byte>>? before = _editUberblock;
        _editUberblock = bytes =>
        {
            before?.Invoke(bytes);
            PutNumber(bytes[at..], width, drawn);
        };
    }

    private void Write(uint disk, long at, byte* data, int size)
    {
        if (disk < _disks.Length && at >= 0 && at <= _disks[disk].Size - size)
        {
            _ = _disks[disk].Write(at, [new IoSegment((nint)data, size)]);
        }
    }
}
