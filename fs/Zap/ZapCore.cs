using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>The operations of <see cref="Zap"/> over any store: they take the lock, hold block 0 and choose micro or fat.</summary>
internal static unsafe class ZapCore
{
    /// <summary>Writes an empty micro ZAP into block 0.</summary>
    internal static void Create(in ZapStore store, ulong normFlags, DmuTx tx)
    {
        CheckNormFlags(store, normFlags);
        store.Lock.EnterWrite();
        try
        {
            ZapMicro.DropIndex(store);
            ZapBlock b = store.Hold(0);
            store.Dirty(ref b, tx);
            ZapMicro.Format(b.Data, b.Size, Krandom.NextUInt64() | 1, normFlags);
            store.Release(ref b);
        }
        finally
        {
            store.Lock.Exit();
        }
    }

    /// <summary>Looks a name up. The values come as native integers; 0, ENOENT, EOVERFLOW (does not fit), EINVAL.</summary>
    internal static int Lookup(in ZapStore store, ReadOnlySpan<byte> name, bool anyCase, Span<byte> values, out int intSize, out int count)
    {
        intSize = 0;
        count = 0;
        if (name.Length is 0 or > ZapLimits.NameMax)
        {
            return name.Length == 0 ? Errno.EINVAL : Errno.ENOENT;
        }

        ZapBlock b = HoldForRead(store);
        try
        {
            return IsMicro(store, b)
                ? LookupMicro(store, b, name, anyCase, values, out intSize, out count)
                : LookupFat(store, b, name, anyCase, values, out intSize, out count);
        }
        finally
        {
            store.Release(ref b);
            store.Lock.Exit();
        }
    }

    /// <summary>Looks up a name whose value is one integer of at most 8 bytes.</summary>
    internal static int Lookup(in ZapStore store, ReadOnlySpan<byte> name, bool anyCase, out ulong value)
    {
        ulong v = 0;
        int error = Lookup(store, name, anyCase, new Span<byte>(&v, sizeof(ulong)), out int intSize, out int count);
        if (error == 0 && count != 1)
        {
            error = Errno.EOVERFLOW;
        }

        value = error == 0 && intSize < 8 ? v & ((1UL << (8 * intSize)) - 1) : v;
        return error;
    }

    /// <summary>Finds the spelling, lowest cd first, of a name that differs at most in case.</summary>
    internal static bool FindAnyCase(in ZapStore store, ReadOnlySpan<byte> name, Span<byte> spelling, out int length)
    {
        length = 0;
        ZapBlock b = HoldForRead(store);
        ulong norm;
        ulong hash;
        try
        {
            bool micro = IsMicro(store, b);
            norm = micro ? ZapMicro.NormFlags(b.Data) : ZapFat.NormFlags(b);
            hash = ZapHash.Of(micro ? ZapMicro.Salt(b.Data) : ZapFat.Salt(b), norm, name);
        }
        finally
        {
            store.Release(ref b);
            store.Lock.Exit();
        }

        ulong first = (hash >> 36 << 32) + Zap.FirstCookie;
        var cursor = new ZapCursor(store, spelling, first);
        while (cursor.MoveNext() && cursor.Cookie < first + (1UL << 32))
        {
            if (ZapHash.Same(norm, cursor.Name, name))
            {
                length = cursor.Name.Length;
                return true;
            }
        }

        return false;
    }

    /// <summary>Adds a name, or with <paramref name="replace"/> sets its value whether it is there or not.</summary>
    internal static int Set(in ZapStore store, ReadOnlySpan<byte> name, int intSize, ReadOnlySpan<byte> values, bool replace, DmuTx tx)
    {
        if (name.Length == 0 || name.Contains((byte)0) || values.Length == 0 || intSize is not (1 or 2 or 4 or 8) || values.Length % intSize != 0)
        {
            return Errno.EINVAL;
        }

        if (name.Length > ZapLimits.NameMax)
        {
            return Errno.ENAMETOOLONG;
        }

        if (1 + ZapLeaf.ChunksFor(name.Length + 1) + ZapLeaf.ChunksFor(values.Length) > MaxChunks(store.BlockSize))
        {
            return Errno.E2BIG;
        }

        ZapBlock b = HoldForWrite(store, tx.AllocFlags);
        try
        {
            if (IsMicro(store, b))
            {
                int error = SetMicro(store, ref b, name, intSize, values, replace, tx);
                if (error != Errno.EOVERFLOW)
                {
                    return error;
                }

                Upgrade(store, ref b, tx);
            }

            return SetFat(store, ref b, name, intSize, values, replace, tx);
        }
        finally
        {
            store.Release(ref b);
            store.Lock.Exit();
        }
    }

    /// <summary>Removes a name: 0 or ENOENT.</summary>
    internal static int Remove(in ZapStore store, ReadOnlySpan<byte> name, DmuTx tx)
    {
        if (name.Length is 0 or > ZapLimits.NameMax)
        {
            return Errno.ENOENT;
        }

        ZapBlock b = HoldForWrite(store, tx.AllocFlags);
        try
        {
            if (!IsMicro(store, b))
            {
                return ZapFat.Remove(store, ref b, ZapHash.Of(ZapFat.Salt(b), ZapFat.NormFlags(b), name), name, tx);
            }

            Span<ulong> small = stackalloc ulong[ZapMicro.SmallSlots];
            ReadOnlySpan<ulong> keys = ZapMicro.SortedKeys(store, b, small);
            int at = ZapMicro.Find(b, keys, MicroHash(b, name), name, 0);
            if (at < 0)
            {
                return Errno.ENOENT;
            }

            ZapMicro.RemoveAt(store, ref b, keys, at, tx);
            return 0;
        }
        finally
        {
            store.Release(ref b);
            store.Lock.Exit();
        }
    }

    /// <summary>Number of entries.</summary>
    internal static ulong Count(in ZapStore store)
    {
        ZapBlock b = HoldForRead(store);
        try
        {
            Span<ulong> small = stackalloc ulong[ZapMicro.SmallSlots];
            return IsMicro(store, b) ? (ulong)ZapMicro.SortedKeys(store, b, small).Length : ZapFat.Count(b);
        }
        finally
        {
            store.Release(ref b);
            store.Lock.Exit();
        }
    }

    /// <summary>The bytes of blocks that one add may dirty, at worst (see Zap's essay).</summary>
    internal static long AddWorstBytes(in ZapStore store)
    {
        ZapBlock b = HoldForRead(store);
        try
        {
            return IsMicro(store, b)
                ? Math.Max(b.Size + ZapLimits.MicroBlockStep, UpgradeWorstBytes(b.Size))
                : ZapFat.AddWorstBytes(b);
        }
        finally
        {
            store.Release(ref b);
            store.Lock.Exit();
        }
    }

    /// <summary>Holds block 0 and the lock, for reading, or for writing if an index has to be built first.</summary>
    internal static ZapBlock HoldForRead(in ZapStore store)
    {
        store.Lock.EnterRead();
        ZapBlock b = default;
        try
        {
            b = store.Hold(0);
            if (!IsMicro(store, b) || !ZapMicro.NeedsIndex(store, b.Size))
            {
                return b;
            }
        }
        catch
        {
            store.Release(ref b);
            store.Lock.Exit();
            throw;
        }

        store.Release(ref b);
        store.Lock.Exit();
        return HoldForWrite(store, DmuTx.CurrentAllocFlags);
    }

    private static ZapBlock HoldForWrite(in ZapStore store, KmFlags flags)
    {
        store.Lock.EnterWrite();
        ZapBlock b = default;
        try
        {
            b = store.Hold(0);
            if (IsMicro(store, b) && ZapMicro.NeedsIndex(store, b.Size))
            {
                ZapMicro.BuildIndex(store, b, flags);
            }

            return b;
        }
        catch
        {
            store.Release(ref b);
            store.Lock.Exit();
            throw;
        }
    }

    /// <summary>Micro or (checked) fat; anything else is an error.</summary>
    internal static bool IsMicro(in ZapStore store, in ZapBlock b)
    {
        if (b.Kind == ZapLimits.MicroType)
        {
            if (b.Size > ZapLimits.MicroBlockMax || b.Size < 2 * ZapLimits.MicroEntrySize)
            {
                throw store.Corrupt($"a micro ZAP of {b.Size} bytes");
            }

            CheckNormFlags(store, ZapMicro.NormFlags(b.Data));
            return true;
        }

        if (b.Kind != ZapLimits.HeaderType)
        {
            throw store.Corrupt($"no ZAP: block 0 begins with {b.Kind:x}");
        }

        ZapFat.CheckHeader(store, b);
        CheckNormFlags(store, ZapFat.NormFlags(b));
        return false;
    }

    private static void CheckNormFlags(in ZapStore store, ulong normFlags)
    {
        if ((normFlags & ~ZapHash.NormToUpper) != 0)
        {
            throw new ZfsException(Errno.EOPNOTSUPP, $"{store.Name}: normalisation {normFlags:x} is not supported");
        }
    }

    private static int MaxChunks(int blockSize) => new ZapLeaf(null, Math.Max(blockSize, ZapLimits.FatBlockSize)).Chunks;

    private static long UpgradeWorstBytes(int size)
    {
        // A full micro ZAP becomes leaves that are at least a third full each, a header, and one table block.
        long leaves = (3L * ZapLimits.MicroSlots(size) * 5 / new ZapLeaf(null, ZapLimits.FatBlockSize).Chunks) + 3;
        return (leaves + 2) * ZapLimits.FatBlockSize;
    }

    private static ulong MicroHash(in ZapBlock b, ReadOnlySpan<byte> name) =>
        ZapHash.Of(ZapMicro.Salt(b.Data), ZapMicro.NormFlags(b.Data), name);

    private static int LookupMicro(in ZapStore store, in ZapBlock b, ReadOnlySpan<byte> name, bool anyCase, Span<byte> values, out int intSize, out int count)
    {
        intSize = 8;
        count = 1;
        Span<ulong> small = stackalloc ulong[ZapMicro.SmallSlots];
        ReadOnlySpan<ulong> keys = ZapMicro.SortedKeys(store, b, small);
        int at = ZapMicro.Find(b, keys, MicroHash(b, name), name, anyCase ? ZapMicro.NormFlags(b.Data) : 0);
        if (at < 0)
        {
            return Errno.ENOENT;
        }

        ulong value = ZapMicro.Value(ZapMicro.Slot(b.Data, ZapMicroIndex.SlotOf(keys[at])));
        return new ReadOnlySpan<byte>(&value, sizeof(ulong)).TryCopyTo(values) ? 0 : Errno.EOVERFLOW;
    }

    private static int LookupFat(in ZapStore store, in ZapBlock b, ReadOnlySpan<byte> name, bool anyCase, Span<byte> values, out int intSize, out int count)
    {
        intSize = 0;
        count = 0;
        ulong norm = ZapFat.NormFlags(b);
        ulong hash = ZapHash.Of(ZapFat.Salt(b), norm, name);
        ZapBlock leafBlock = ZapFat.HoldLeaf(store, b, hash);
        try
        {
            var leaf = new ZapLeaf(leafBlock.Data, leafBlock.Size);
            int at = leaf.Find(hash, name, anyCase ? norm : 0);
            if (at < 0)
            {
                return Errno.ENOENT;
            }

            ZapLeafEntry e = leaf.Entry(at);
            intSize = e.IntSize;
            count = e.IntCount;
            if (intSize * count > values.Length)
            {
                return Errno.EOVERFLOW;
            }

            leaf.ReadValue(e, values);
            return 0;
        }
        finally
        {
            store.Release(ref leafBlock);
        }
    }

    /// <summary>EOVERFLOW: a micro ZAP can't take it.</summary>
    private static int SetMicro(in ZapStore store, ref ZapBlock b, ReadOnlySpan<byte> name, int intSize, ReadOnlySpan<byte> values, bool replace, DmuTx tx)
    {
        Span<ulong> small = stackalloc ulong[ZapMicro.SmallSlots];
        ReadOnlySpan<ulong> keys = ZapMicro.SortedKeys(store, b, small);
        ulong hash = MicroHash(b, name);
        int at = ZapMicro.Find(b, keys, hash, name, 0);
        if (at >= 0 && !replace)
        {
            return Errno.EEXIST;
        }

        if (name.Length > ZapLimits.MicroNameMax || intSize != 8 || values.Length != 8)
        {
            return Errno.EOVERFLOW;
        }

        ulong value = BitConverter.ToUInt64(values);
        if (at >= 0)
        {
            int slot = ZapMicroIndex.SlotOf(keys[at]);
            store.Dirty(ref b, tx);
            ZapMicro.SetValue(ZapMicro.Slot(b.Data, slot), value);
            return 0;
        }

        while (!ZapMicro.TryInsert(store, ref b, keys, hash, name, value, tx))
        {
            int size = b.Size + ZapLimits.MicroBlockStep;
            if (size > ZapLimits.MicroBlockMax)
            {
                return Errno.EOVERFLOW;
            }

            store.Release(ref b);
            store.SetBlockSize(size, tx);
            b = store.Hold(0);
            if (ZapMicro.NeedsIndex(store, b.Size))
            {
                ZapMicro.BuildIndex(store, b, tx.AllocFlags);
                keys = store.Index!.Keys;
            }
        }

        return 0;
    }

    private static int SetFat(in ZapStore store, ref ZapBlock b, ReadOnlySpan<byte> name, int intSize, ReadOnlySpan<byte> values, bool replace, DmuTx tx)
    {
        ulong hash = ZapHash.Of(ZapFat.Salt(b), ZapFat.NormFlags(b), name);
        ZapBlock leaf = ZapFat.HoldLeaf(store, b, hash);
        bool exists;
        try
        {
            exists = new ZapLeaf(leaf.Data, leaf.Size).Find(hash, name, 0) >= 0;
        }
        finally
        {
            store.Release(ref leaf);
        }

        if (exists)
        {
            return replace ? ZapFat.Replace(store, ref b, hash, name, intSize, values, tx) : Errno.EEXIST;
        }

        return ZapFat.Add(store, ref b, hash, name, intSize, values, tx);
    }

    private static void Upgrade(in ZapStore store, ref ZapBlock b, DmuTx tx)
    {
        int oldSize = b.Size;
        byte* old = KmemAllocator.VmemAlloc(oldSize, tx.AllocFlags);
        try
        {
            Buffer.MemoryCopy(b.Data, old, oldSize, oldSize);
            ZapMicro.DropIndex(store);
            store.Release(ref b);
            store.SetBlockSize(ZapLimits.FatBlockSize, tx);
            b = store.Hold(0);
            ZapFat.Format(store, ref b, ZapMicro.Salt(old), ZapMicro.NormFlags(old), tx);
            for (int i = 0; i < ZapLimits.MicroSlots(oldSize); i++)
            {
                byte* slot = ZapMicro.Slot(old, i);
                if (ZapMicro.IsUsed(slot))
                {
                    MoveSlot(store, ref b, slot, tx);
                }
            }
        }
        finally
        {
            KmemAllocator.VmemFree(old, oldSize);
        }
    }

    private static void MoveSlot(in ZapStore store, ref ZapBlock b, byte* slot, DmuTx tx)
    {
        ReadOnlySpan<byte> name = ZapMicro.Name(slot);
        ulong hash = ZapHash.Of(ZapFat.Salt(b), ZapFat.NormFlags(b), name);
        int error = ZapFat.Add(store, ref b, hash, name, sizeof(ulong), new ReadOnlySpan<byte>(slot, sizeof(ulong)), tx);
        if (error != 0)
        {
            throw store.Corrupt($"the micro ZAP can't become fat: error {error}");
        }
    }
}
