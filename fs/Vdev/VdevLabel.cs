using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>
/// The four labels of a leaf, two at each end: each has the configuration (an nvlist) and a ring of uberblocks, every area
/// sealed with a checksum that is salted with its own place on the device. On a change of configuration labels 0 and 2 are
/// written before the uberblock, 1 and 3 after it, so that one pair is always whole and agrees with an uberblock.
/// </summary>
public static unsafe class VdevLabel
{
    /// <summary>Bytes of a label.</summary>
    public const int LabelSize = 0x40000;

    /// <summary>Where the configuration begins in a label.</summary>
    public const int ConfigOffset = 0x4000;

    /// <summary>Bytes of the configuration's area, checksum included.</summary>
    public const int ConfigSize = 112 << 10;

    /// <summary>Where the uberblocks begin in a label.</summary>
    public const int UberblockRingOffset = 0x20000;

    /// <summary>Bytes of the ring.</summary>
    public const int UberblockRingSize = 128 << 10;

    /// <summary>Labels of a leaf.</summary>
    public const int Count = 4;

    /// <summary>Where a label begins on a device of that size, bytes.</summary>
    public static long OffsetOf(int label, long deviceSize) =>
        label < 2 ? (long)label * LabelSize : Vdev.UsableSize(deviceSize) - ((long)(Count - label) * LabelSize);

    /// <summary>
    /// Reads all labels of a device. Unreadable or damaged ones are left out; with none left the result has no configuration.
    /// </summary>
    public static VdevLabelScan Scan(IVdevIo io)
    {
        var scan = new VdevLabelScan();
        if (io.Size < Count * LabelSize)
        {
            return scan;
        }

        byte* area = ZioBuf.Alloc(UberblockRingSize, KmFlags.PushPage);
        try
        {
            for (int label = 0; label < Count; label++)
            {
                ScanConfig(io, label, area, scan);
            }

            if (scan.Config is not { } config || config.Tops.Count == 0 || config.Tops[0].Ashift is < 9 or > 13)
            {
                return scan;
            }

            for (int label = 0; label < Count; label++)
            {
                ScanRing(io, label, (int)config.Tops[0].Ashift, area, scan);
            }
        }
        finally
        {
            ZioBuf.Free(area, UberblockRingSize);
        }

        return scan;
    }

    /// <summary>
    /// Writes a configuration to labels <paramref name="first"/> and first + 2 (first is 0 or 1). 0, or the first errno after
    /// trying both. Flush afterwards.
    /// </summary>
    public static int WriteConfig(IVdevIo io, int first, Nvlist config) => WriteConfig(io, first, config, null);

    /// <summary>Writes an uberblock to its slot in all labels. 0, or the first errno after trying all. Flush afterwards.</summary>
    public static int WriteUberblock(IVdevIo io, int ashift, in Uberblock uberblock) => WriteUberblock(io, ashift, uberblock, null);

    /// <summary>As the public one; the area may be an element of <paramref name="pool"/>.</summary>
    internal static int WriteConfig(IVdevIo io, int first, Nvlist config, Mempool? pool)
    {
        byte[] packed = config.Pack();
        if (packed.Length > ConfigSize - ZioEck.SizeOf)
        {
            return Errno.E2BIG;
        }

        byte* area = ZioBuf.Alloc(ConfigSize, pool, out bool pooled);
        try
        {
            int result = 0;
            for (int label = first; label < Count; label += 2)
            {
                long at = OffsetOf(label, io.Size) + ConfigOffset;
                new Span<byte>(area, ConfigSize).Clear();
                packed.CopyTo(new Span<byte>(area, ConfigSize));
                ZioEck.Seal(area, ConfigSize, ZioEck.LabelVerifier(at));
                int error = WriteOne(io, at, area, ConfigSize);
                result = result != 0 ? result : error;
            }

            return result;
        }
        finally
        {
            ZioBuf.Free(area, ConfigSize, pool, pooled);
        }
    }

    /// <summary>As the public one; the slot may be an element of <paramref name="pool"/>.</summary>
    internal static int WriteUberblock(IVdevIo io, int ashift, in Uberblock uberblock, Mempool? pool)
    {
        int slotSize = Uberblock.SlotSize(ashift);
        byte* slot = ZioBuf.Alloc(slotSize, pool, out bool pooled);
        try
        {
            int result = 0;
            for (int label = 0; label < Count; label++)
            {
                long at = OffsetOf(label, io.Size) + UberblockRingOffset
                    + ((long)Uberblock.SlotFor(uberblock.Txg, ashift) * slotSize);
                uberblock.Emit(slot, slotSize, at);
                int error = WriteOne(io, at, slot, slotSize);
                result = result != 0 ? result : error;
            }

            return result;
        }
        finally
        {
            ZioBuf.Free(slot, slotSize, pool, pooled);
        }
    }

    /// <summary>
    /// Makes all labels of a new member of a pool: zeros, the configuration everywhere, no uberblock. Old uberblocks are gone
    /// afterwards. 0 or an errno.
    /// </summary>
    public static int Initialise(IVdevIo io, Nvlist config)
    {
        int result = Wipe(io);
        result = result != 0 ? result : WriteConfig(io, 0, config);
        return result != 0 ? result : WriteConfig(io, 1, config);
    }

    /// <summary>Overwrites all labels with zeros: the device belongs to no pool. 0 or an errno. Flush afterwards.</summary>
    public static int Wipe(IVdevIo io)
    {
        byte* zeros = ZioBuf.Alloc(UberblockRingSize, KmFlags.PushPage);
        try
        {
            new Span<byte>(zeros, UberblockRingSize).Clear();
            for (int label = 0; label < Count; label++)
            {
                long at = OffsetOf(label, io.Size);
                int error = WriteOne(io, at, zeros, UberblockRingOffset);
                error = error != 0 ? error : WriteOne(io, at + UberblockRingOffset, zeros, UberblockRingSize);
                if (error != 0)
                {
                    return error;
                }
            }
        }
        finally
        {
            ZioBuf.Free(zeros, UberblockRingSize);
        }

        return 0;
    }

    /// <summary>Does the device take writes? Reads and writes again what is of no use, at both its ends, and flushes. 0 or an errno.</summary>
    internal static int Probe(IVdevIo io)
    {
        const int Unused = 8 << 10;
        byte* area = ZioBuf.Alloc(Unused, KmFlags.PushPage);
        int error = 0;
        for (int label = 0; label < Count && error == 0; label++)
        {
            // After the first 8 KiB, and before the configuration.
            long at = OffsetOf(label, io.Size) + Unused;
            error = io.Read(at, area, Unused);
            error = error != 0 ? error : WriteOne(io, at, area, Unused);
        }

        ZioBuf.Free(area, Unused);
        return error != 0 ? error : io.Flush();
    }

    private static int WriteOne(IVdevIo io, long at, byte* data, int size)
    {
        ReadOnlySpan<IoSegment> one = [new IoSegment((nint)data, size)];
        return io.Write(at, one);
    }

    private static void ScanConfig(IVdevIo io, int label, byte* area, VdevLabelScan scan)
    {
        long at = OffsetOf(label, io.Size) + ConfigOffset;
        if (io.Read(at, area, ConfigSize) != 0)
        {
            return;
        }

        bool sealedRight = ZioEck.Verify(area, ConfigSize, ZioEck.LabelVerifier(at));
        if (!sealedRight || Nvlist.TryParse(new ReadOnlySpan<byte>(area, ConfigSize), out _) is not { } list)
        {
            return;
        }

        PoolConfig config = PoolConfig.FromLabel(list);
        scan.ValidLabels |= 1 << label;
        scan.Configs[label] = config;
        if (scan.Config is null || config.Txg > scan.Config.Txg)
        {
            scan.Config = config;
            scan.ConfigList = list;
        }
    }

    private static void ScanRing(IVdevIo io, int label, int ashift, byte* area, VdevLabelScan scan)
    {
        long at = OffsetOf(label, io.Size) + UberblockRingOffset;
        int slotSize = Uberblock.SlotSize(ashift);
        if (io.Read(at, area, UberblockRingSize) != 0)
        {
            return;
        }

        for (int i = 0; i < Uberblock.SlotCount(ashift); i++)
        {
            byte* slot = area + (i * slotSize);
            scan.SeenBigEndian |= *(ulong*)slot == Uberblock.MagicSwapped;
            if (!Uberblock.TryRead(slot, slotSize, at + ((long)i * slotSize), out Uberblock ub))
            {
                continue;
            }

            scan.UberblockCount++;
            if (!scan.HasUberblock || ub.IsNewerThan(scan.Best))
            {
                scan.HasUberblock = true;
                scan.Best = ub;
                scan.BestLabels = 0;
            }

            scan.BestLabels |= ub.Txg == scan.Best.Txg ? 1 << label : 0;
        }
    }
}
