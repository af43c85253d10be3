using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// The micro ZAP: one block of 64-byte entries, each a name of at most 49 bytes and one u64. All methods are called under the
/// ZAP's lock. Up to <see cref="SmallSlots"/> slots the order of entries is worked out on the stack; larger blocks have a
/// <see cref="ZapMicroIndex"/>.
/// </summary>
internal static unsafe class ZapMicro
{
    /// <summary>Blocks with more slots than this are indexed.</summary>
    internal const int SmallSlots = 15;

    private const int OffSalt = ZapPhys.MicroSalt;
    private const int OffNormFlags = ZapPhys.MicroNormFlags;
    private const int OffCd = ZapPhys.MicroEntryCd;
    private const int OffName = ZapPhys.MicroEntryName;
    private const int NameRoom = ZapPhys.MicroNameSize;

    internal static ulong Salt(byte* block) => *(ulong*)(block + OffSalt);

    internal static ulong NormFlags(byte* block) => *(ulong*)(block + OffNormFlags);

    internal static byte* Slot(byte* block, int slot) => block + ((slot + 1) * ZapLimits.MicroEntrySize);

    internal static ulong Value(byte* slot) => *(ulong*)slot;

    internal static void SetValue(byte* slot, ulong value) => *(ulong*)slot = value;

    internal static uint Cd(byte* slot) => *(uint*)(slot + OffCd);

    /// <summary>Name of a used slot.</summary>
    internal static ReadOnlySpan<byte> Name(byte* slot)
    {
        var room = new ReadOnlySpan<byte>(slot + OffName, NameRoom);
        int length = room.IndexOf((byte)0);
        return length < 0 ? room : room[..length];
    }

    internal static bool IsUsed(byte* slot) => slot[OffName] != 0;

    /// <summary>Is the index missing that a block of this size needs?</summary>
    internal static bool NeedsIndex(in ZapStore store, int blockSize) =>
        ZapLimits.MicroSlots(blockSize) > SmallSlots && store.Index is null;

    /// <summary>Writes an empty micro ZAP.</summary>
    internal static void Format(byte* block, int size, ulong salt, ulong normFlags)
    {
        new Span<byte>(block, size).Clear();
        *(ulong*)block = ZapLimits.MicroType;
        *(ulong*)(block + OffSalt) = salt;
        *(ulong*)(block + OffNormFlags) = normFlags;
    }

    /// <summary>Builds the index. Under the write lock.</summary>
    internal static void BuildIndex(in ZapStore store, in ZapBlock block, KmFlags flags)
    {
        int slots = ZapLimits.MicroSlots(block.Size);
        byte* memory = KmemAllocator.Alloc(slots * sizeof(ulong), flags);
        var index = new ZapMicroIndex();
        try
        {
            var keys = new Span<ulong>(memory, slots);
            index.Load(keys[..CollectKeys(store, block, keys)], flags);
        }
        finally
        {
            KmemAllocator.Free(memory, slots * sizeof(ulong));
        }

        store.Index = index;
    }

    /// <summary>Drops the index, if there is one.</summary>
    internal static void DropIndex(in ZapStore store)
    {
        store.Index?.Dispose();
        store.Index = null;
    }

    /// <summary>The keys of all entries in order: from the index, or made in <paramref name="small"/> (SmallSlots long).</summary>
    internal static ReadOnlySpan<ulong> SortedKeys(in ZapStore store, in ZapBlock block, Span<ulong> small)
    {
        if (store.Index is { } index)
        {
            return index.Keys;
        }

        Span<ulong> keys = small[..CollectKeys(store, block, small)];
        keys.Sort();
        return keys;
    }

    /// <summary>Position of a name among the keys, or -1.</summary>
    internal static int Find(in ZapBlock block, ReadOnlySpan<ulong> keys, ulong hash, ReadOnlySpan<byte> name, ulong matchFlags)
    {
        for (int at = ZapMicroIndex.LowerBound(keys, hash); at < keys.Length && ZapMicroIndex.HashOf(keys[at]) == hash; at++)
        {
            if (ZapHash.Same(matchFlags, Name(Slot(block.Data, ZapMicroIndex.SlotOf(keys[at]))), name))
            {
                return at;
            }
        }

        return -1;
    }

    /// <summary>Adds an entry that is known to be new. Returns false if the block is full.</summary>
    internal static bool TryInsert(in ZapStore store, ref ZapBlock block, ReadOnlySpan<ulong> keys, ulong hash, ReadOnlySpan<byte> name, ulong value, DmuTx tx)
    {
        int slot = FreeSlot(store, block);
        if (slot < 0)
        {
            return false;
        }

        uint cd = 0;
        for (int at = ZapMicroIndex.LowerBound(keys, hash); at < keys.Length && ZapMicroIndex.HashOf(keys[at]) == hash; at++)
        {
            if (ZapMicroIndex.CdOf(keys[at]) != cd)
            {
                break;
            }

            cd++;
        }

        store.Dirty(ref block, tx);
        byte* p = Slot(block.Data, slot);
        new Span<byte>(p, ZapLimits.MicroEntrySize).Clear();
        *(ulong*)p = value;
        *(uint*)(p + OffCd) = cd;
        name.CopyTo(new Span<byte>(p + OffName, NameRoom));
        if (store.Index is { } index)
        {
            index.Insert(ZapMicroIndex.MakeKey(hash, cd, slot), tx.AllocFlags);
            index.FreeHint = slot + 1;
        }

        return true;
    }

    /// <summary>Removes the entry at a position among the keys.</summary>
    internal static void RemoveAt(in ZapStore store, ref ZapBlock block, ReadOnlySpan<ulong> keys, int at, DmuTx tx)
    {
        int slot = ZapMicroIndex.SlotOf(keys[at]);
        store.Dirty(ref block, tx);
        new Span<byte>(Slot(block.Data, slot), ZapLimits.MicroEntrySize).Clear();
        store.Index?.RemoveAt(at);
    }

    private static int FreeSlot(in ZapStore store, in ZapBlock block)
    {
        int slots = ZapLimits.MicroSlots(block.Size);
        for (int i = store.Index?.FreeHint ?? 0; i < slots; i++)
        {
            if (!IsUsed(Slot(block.Data, i)))
            {
                return i;
            }
        }

        if (store.Index is { } index)
        {
            index.FreeHint = slots;
        }

        return -1;
    }

    private static int CollectKeys(in ZapStore store, in ZapBlock block, Span<ulong> keys)
    {
        ulong salt = Salt(block.Data);
        ulong normFlags = NormFlags(block.Data);
        int slots = ZapLimits.MicroSlots(block.Size);
        int n = 0;
        for (int i = 0; i < slots; i++)
        {
            byte* slot = Slot(block.Data, i);
            if (!IsUsed(slot))
            {
                continue;
            }

            ReadOnlySpan<byte> name = Name(slot);
            if (name.Length > ZapLimits.MicroNameMax || Cd(slot) > ZapMicroIndex.CdMax)
            {
                throw store.Corrupt($"slot {i} of the micro ZAP is damaged");
            }

            keys[n++] = ZapMicroIndex.MakeKey(ZapHash.Of(salt, normFlags, name), Cd(slot), i);
        }

        return n;
    }
}
