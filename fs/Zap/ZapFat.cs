using System.Numerics;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// The fat ZAP: block 0 is a header with (at first) the pointer table in its second half; the table maps the upper bits of a
/// hash to leaf blocks. All methods are called under the ZAP's lock, with the header block held.
/// </summary>
internal static unsafe class ZapFat
{
    private const int OffMagic = 8;
    private const int OffTable = ZapPhys.FatTableBlock;
    private const int OffFreeBlock = ZapPhys.FatFreeBlock;
    private const int OffLeafs = ZapPhys.FatLeafCount;
    private const int OffEntries = ZapPhys.FatEntryCount;
    private const int OffSalt = ZapPhys.FatSalt;
    private const int OffNormFlags = ZapPhys.FatNormFlags;
    private const int OffFlags = ZapPhys.FatFlags;

    /// <summary>A leaf may lie this many bits deeper than an even spread of the leaves would put it.</summary>
    private const int SkewBits = 6;

    internal static ulong Salt(in ZapBlock h) => *(ulong*)(h.Data + OffSalt);

    internal static ulong NormFlags(in ZapBlock h) => *(ulong*)(h.Data + OffNormFlags);

    internal static ulong Count(in ZapBlock h) => *(ulong*)(h.Data + OffEntries);

    internal static ulong FreeBlock(in ZapBlock h) => *(ulong*)(h.Data + OffFreeBlock);

    internal static ulong TableBlocks(in ZapBlock h) => *(ulong*)(h.Data + OffTable + 8);

    internal static int TableShift(in ZapBlock h) => (int)*(ulong*)(h.Data + OffTable + 16);

    private static ulong TableStart(in ZapBlock h) => *(ulong*)(h.Data + OffTable);

    private static ulong NextTable(in ZapBlock h) => *(ulong*)(h.Data + OffTable + 24);

    private static int EmbeddedShift(int blockSize) => BitOperations.Log2((uint)blockSize) - 4;

    private static int EntriesShift(int blockSize) => BitOperations.Log2((uint)blockSize) - 3;

    /// <summary>Throws unless the header is one that this code can work with.</summary>
    internal static void CheckHeader(in ZapStore store, in ZapBlock h)
    {
        if (*(ulong*)(h.Data + OffMagic) != ZapLimits.FatMagic || !BitOperations.IsPow2(h.Size) || h.Size < 1024)
        {
            throw store.Corrupt("the header of the fat ZAP is damaged");
        }

        ulong flags = *(ulong*)(h.Data + OffFlags);
        if (flags != 0)
        {
            throw new ZfsException(Errno.EOPNOTSUPP, $"{store.Name}: flags {flags:x} are not supported");
        }

        ulong blocks = TableBlocks(h);
        ulong shift = *(ulong*)(h.Data + OffTable + 16);
        ulong expected = blocks == 0
            ? (ulong)EmbeddedShift(h.Size)
            : (ulong)(EntriesShift(h.Size) + BitOperations.Log2(blocks));
        if (shift != expected || shift > ZapHash.Bits || (blocks != 0 && !BitOperations.IsPow2(blocks))
            || FreeBlock(h) > (1UL << 48) || TableStart(h) + blocks > FreeBlock(h))
        {
            throw store.Corrupt($"the pointer table is damaged: {blocks} blocks, shift {shift}");
        }

        if (NextTable(h) != 0 && (blocks == 0 || NextTable(h) + (2 * blocks) > FreeBlock(h)))
        {
            throw store.Corrupt("the growing pointer table is damaged");
        }
    }

    /// <summary>Writes an empty fat ZAP: header and first leaf. The object's block size is set already.</summary>
    internal static void Format(in ZapStore store, ref ZapBlock h, ulong salt, ulong normFlags, DmuTx tx)
    {
        store.Dirty(ref h, tx);
        new Span<byte>(h.Data, h.Size).Clear();
        *(ulong*)h.Data = ZapLimits.HeaderType;
        *(ulong*)(h.Data + OffMagic) = ZapLimits.FatMagic;
        *(ulong*)(h.Data + OffTable + 16) = (ulong)EmbeddedShift(h.Size);
        *(ulong*)(h.Data + OffFreeBlock) = 2;
        *(ulong*)(h.Data + OffLeafs) = 1;
        *(ulong*)(h.Data + OffSalt) = salt;
        *(ulong*)(h.Data + OffNormFlags) = normFlags;
        new Span<ulong>(h.Data + (h.Size / 2), 1 << EmbeddedShift(h.Size)).Fill(1);
        ZapBlock leaf = store.Hold(1);
        store.Dirty(ref leaf, tx);
        new ZapLeaf(leaf.Data, leaf.Size).Format(0, 0, normFlags != 0);
        store.Release(ref leaf);
    }

    /// <summary>Holds the leaf that a hash belongs to.</summary>
    internal static ZapBlock HoldLeaf(in ZapStore store, in ZapBlock h, ulong hash)
    {
        int shift = TableShift(h);
        ulong index = hash >> (64 - shift);
        ulong blockId = LoadPointer(store, h, index);
        if (blockId == 0 || blockId >= FreeBlock(h))
        {
            throw store.Corrupt($"the pointer table names block {blockId}");
        }

        ZapBlock b = store.Hold(blockId);
        var leaf = new ZapLeaf(b.Data, b.Size);
        if (b.Size != h.Size || !leaf.IsValid || leaf.PrefixLength > shift || index >> (shift - leaf.PrefixLength) != leaf.Prefix)
        {
            store.Release(ref b);
            throw store.Corrupt($"block {blockId} is no leaf, or not the right one");
        }

        return b;
    }

    /// <summary>Adds a name that is known to be new. Returns 0, E2BIG or ENOSPC.</summary>
    internal static int Add(in ZapStore store, ref ZapBlock h, ulong hash, ReadOnlySpan<byte> name, int intSize, ReadOnlySpan<byte> values, DmuTx tx)
    {
        int need = 1 + ZapLeaf.ChunksFor(name.Length + 1) + ZapLeaf.ChunksFor(values.Length);
        int error = HoldLeafWithRoom(store, ref h, hash, need, tx, out ZapBlock leaf);
        if (error != 0)
        {
            return error;
        }

        try
        {
            store.Dirty(ref leaf, tx);
            new ZapLeaf(leaf.Data, leaf.Size).Insert(hash, name, intSize, values);
        }
        finally
        {
            store.Release(ref leaf);
        }

        AddToCount(store, ref h, 1, tx);
        return 0;
    }

    /// <summary>Replaces the value of a name. Returns 0, ENOENT, E2BIG or ENOSPC.</summary>
    internal static int Replace(in ZapStore store, ref ZapBlock h, ulong hash, ReadOnlySpan<byte> name, int intSize, ReadOnlySpan<byte> values, DmuTx tx)
    {
        int need = ZapLeaf.ChunksFor(values.Length);
        ZapBlock b = HoldLeaf(store, h, hash);
        try
        {
            var leaf = new ZapLeaf(b.Data, b.Size);
            int at = leaf.Find(hash, name, 0);
            if (at < 0)
            {
                return Errno.ENOENT;
            }

            ZapLeafEntry old = leaf.Entry(at);
            if (need <= leaf.FreeChunks + ZapLeaf.ChunksFor(old.IntSize * old.IntCount))
            {
                store.Dirty(ref b, tx);
                new ZapLeaf(b.Data, b.Size).Replace(at, intSize, values);
                return 0;
            }
        }
        finally
        {
            store.Release(ref b);
        }

        int error = HoldLeafWithRoom(store, ref h, hash, need, tx, out ZapBlock roomy);
        if (error != 0)
        {
            return error;
        }

        try
        {
            store.Dirty(ref roomy, tx);
            var leaf = new ZapLeaf(roomy.Data, roomy.Size);
            leaf.Replace(leaf.Find(hash, name, 0), intSize, values);
            return 0;
        }
        finally
        {
            store.Release(ref roomy);
        }
    }

    /// <summary>Removes a name. Returns 0 or ENOENT.</summary>
    internal static int Remove(in ZapStore store, ref ZapBlock h, ulong hash, ReadOnlySpan<byte> name, DmuTx tx)
    {
        ZapBlock b = HoldLeaf(store, h, hash);
        try
        {
            int at = new ZapLeaf(b.Data, b.Size).Find(hash, name, 0);
            if (at < 0)
            {
                return Errno.ENOENT;
            }

            store.Dirty(ref b, tx);
            new ZapLeaf(b.Data, b.Size).Remove(at);
        }
        finally
        {
            store.Release(ref b);
        }

        AddToCount(store, ref h, -1, tx);
        return 0;
    }

    /// <summary>Bytes of blocks that one Add may dirty at worst: header, the two halves of a split leaf, a table doubled.</summary>
    internal static long AddWorstBytes(in ZapBlock h)
    {
        long tableBlocks = Math.Max(1, 2 * (long)TableBlocks(h));
        return (3 + tableBlocks) * h.Size;
    }

    private static int HoldLeafWithRoom(in ZapStore store, ref ZapBlock h, ulong hash, int need, DmuTx tx, out ZapBlock leafBlock)
    {
        while (true)
        {
            ZapBlock b = HoldLeaf(store, h, hash);
            bool kept = false;
            try
            {
                var leaf = new ZapLeaf(b.Data, b.Size);
                if (need > leaf.Chunks)
                {
                    leafBlock = default;
                    return Errno.E2BIG;
                }

                if (leaf.FreeChunks >= need)
                {
                    leafBlock = b;
                    kept = true;
                    return 0;
                }

                if (!MayDeepen(h, leaf, hash))
                {
                    leafBlock = default;
                    return Errno.ENOSPC;
                }

                if (leaf.PrefixLength == TableShift(h))
                {
                    GrowTable(store, ref h, tx);
                }

                Split(store, ref h, ref b, tx);
            }
            finally
            {
                if (!kept)
                {
                    store.Release(ref b);
                }
            }
        }
    }

    /// <summary>
    /// May the leaf be split? Not if so many names share their hash bits that the table would grow far beyond what the number
    /// of leaves explains: that happens by design of an attacker only, and would take unbounded space in one transaction.
    /// </summary>
    private static bool MayDeepen(in ZapBlock h, ZapLeaf leaf, ulong hash)
    {
        int depth = leaf.CommonPrefix(hash) + 1;
        int even = BitOperations.Log2(*(ulong*)(h.Data + OffLeafs) | 1) + 1;
        int most = Math.Max(EmbeddedShift(h.Size) + 1, even + SkewBits);
        return depth < ZapHash.Bits && Math.Max(depth, leaf.PrefixLength + 1) <= most;
    }

    private static void Split(in ZapStore store, ref ZapBlock h, ref ZapBlock lower, DmuTx tx)
    {
        store.Dirty(ref h, tx);
        store.Dirty(ref lower, tx);
        ulong id = FreeBlock(h);
        *(ulong*)(h.Data + OffFreeBlock) = id + 1;
        ++*(ulong*)(h.Data + OffLeafs);
        ZapBlock upper = store.Hold(id);
        try
        {
            store.Dirty(ref upper, tx);
            var leaf = new ZapLeaf(lower.Data, lower.Size);
            leaf.SplitInto(new ZapLeaf(upper.Data, upper.Size));
            int shift = TableShift(h);
            int under = shift - leaf.PrefixLength;
            ulong first = (leaf.Prefix | 1) << under;
            StorePointers(store, ref h, first, 1UL << under, id, tx);
        }
        finally
        {
            store.Release(ref upper);
        }
    }

    private static void GrowTable(in ZapStore store, ref ZapBlock h, DmuTx tx)
    {
        ulong oldBlocks = TableBlocks(h);
        ulong oldStart = TableStart(h);
        ulong newBlocks = Math.Max(1, 2 * oldBlocks);
        store.Dirty(ref h, tx);
        ulong newStart = NextTable(h);
        if (newStart == 0)
        {
            newStart = FreeBlock(h);
            *(ulong*)(h.Data + OffFreeBlock) = newStart + newBlocks;
        }

        int perBlock = 1 << EntriesShift(h.Size);
        for (ulong i = 0; i < newBlocks; i++)
        {
            ZapBlock to = store.Hold(newStart + i);
            ZapBlock from = oldBlocks == 0 ? default : store.Hold(oldStart + (i / 2));
            try
            {
                store.Dirty(ref to, tx);
                ulong* source = oldBlocks == 0
                    ? (ulong*)(h.Data + (h.Size / 2))
                    : (ulong*)from.Data + ((i & 1) != 0 ? perBlock / 2 : 0);
                for (int e = 0; e < perBlock; e++)
                {
                    ((ulong*)to.Data)[e] = source[e / 2];
                }
            }
            finally
            {
                store.Release(ref from);
                store.Release(ref to);
            }
        }

        *(ulong*)(h.Data + OffTable) = newStart;
        *(ulong*)(h.Data + OffTable + 8) = newBlocks;
        ++*(ulong*)(h.Data + OffTable + 16);
        *(ulong*)(h.Data + OffTable + 24) = 0;
        *(ulong*)(h.Data + OffTable + 32) = 0;
        if (oldBlocks != 0)
        {
            store.FreeBlocks(oldStart, oldBlocks, tx);
        }
    }

    private static ulong LoadPointer(in ZapStore store, in ZapBlock h, ulong index)
    {
        if (TableBlocks(h) == 0)
        {
            return ((ulong*)(h.Data + (h.Size / 2)))[index];
        }

        int shift = EntriesShift(h.Size);
        ZapBlock b = store.Hold(TableStart(h) + (index >> shift));
        ulong value = ((ulong*)b.Data)[index & ((1UL << shift) - 1)];
        store.Release(ref b);
        return value;
    }

    private static void StorePointers(in ZapStore store, ref ZapBlock h, ulong first, ulong count, ulong value, DmuTx tx)
    {
        if (TableBlocks(h) == 0)
        {
            new Span<ulong>((ulong*)(h.Data + (h.Size / 2)) + first, (int)count).Fill(value);
            return;
        }

        FillTable(store, TableStart(h), first, count, h.Size, value, tx);
        if (NextTable(h) != 0)
        {
            FillTable(store, NextTable(h), 2 * first, 2 * count, h.Size, value, tx);
        }
    }

    private static void FillTable(in ZapStore store, ulong start, ulong first, ulong count, int blockSize, ulong value, DmuTx tx)
    {
        int shift = EntriesShift(blockSize);
        ulong perBlock = 1UL << shift;
        while (count > 0)
        {
            ulong offset = first & (perBlock - 1);
            ulong n = Math.Min(count, perBlock - offset);
            ZapBlock b = store.Hold(start + (first >> shift));
            store.Dirty(ref b, tx);
            new Span<ulong>((ulong*)b.Data + offset, (int)n).Fill(value);
            store.Release(ref b);
            first += n;
            count -= n;
        }
    }

    private static void AddToCount(in ZapStore store, ref ZapBlock h, long delta, DmuTx tx)
    {
        store.Dirty(ref h, tx);
        *(long*)(h.Data + OffEntries) += delta;
    }
}
