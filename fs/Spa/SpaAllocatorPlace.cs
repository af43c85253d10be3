using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>Placing blocks and taking them back.</summary>
public sealed partial class SpaAllocator
{
    private bool Allocate(MetaslabGroup[] groups, int psize, int copies, ulong txg, Span<Dva> dvas)
    {
        for (int i = 0; i < copies; i++)
        {
            if (!AllocateCopy(groups, psize, i, dvas[..i], out dvas[i]))
            {
                for (int j = 0; j < i; j++)
                {
                    (MetaslabGroup g, Metaslab m, long start, long count) = Locate(dvas[j]);
                    m.Core.Cancel(start, count);
                    m.Pins--;
                    g.Allocated -= count << g.Vdev.Ashift;
                    dvas[j] = default;
                }

                return false;
            }
        }

        foreach (Dva dva in dvas)
        {
            (_, Metaslab m, long start, long count) = Locate(dva);
            m.Core.Commit(start, count, txg);
            m.Pins--;
            MarkDirty(m, txg);
        }

        return true;
    }

    // Three rounds: a vdev that has no copy yet; any vdev, far from the other copies; anywhere.
    private bool AllocateCopy(MetaslabGroup[] groups, int psize, int copy, ReadOnlySpan<Dva> others, out Dva dva)
    {
        for (int round = 0; round < 3; round++)
        {
            for (int i = 0; i < groups.Length; i++)
            {
                MetaslabGroup g = groups[(_rotor + copy + i) % groups.Length];
                if (round == 0 && HasCopy(others, g.Vdev.Id))
                {
                    continue;
                }

                ulong distance = round == 1 ? g.Vdev.Asize >> 3 : 0;
                long start = AllocateInGroup(g, psize, copy, distance, others, out Metaslab? m);
                if (start >= 0)
                {
                    long bytes = g.UnitsOf(psize) << g.Vdev.Ashift;
                    dva = Dva.Create(g.Vdev.Id, m!.Base + ((ulong)start << g.Vdev.Ashift), (ulong)bytes);
                    AdvanceRotor(groups, g, bytes);
                    return true;
                }
            }
        }

        dva = default;
        return false;
    }

    private long AllocateInGroup(MetaslabGroup g, int psize, int copy, ulong distance, ReadOnlySpan<Dva> others, out Metaslab? m)
    {
        long units = g.UnitsOf(psize);
        while (true)
        {
            m = g.Pick(copy, units, distance, others);
            if (m is null)
            {
                return -1;
            }

            if (!m.Core.IsLoaded)
            {
                LateLoads += m.Object != 0 ? 1 : 0;
                Load(m);
                continue;
            }

            bool fillHoles = psize <= SmallBlock && m.Core.Available < m.Core.Units / 8;
            long start = m.Core.TryAllocate(units, copy, fillHoles);
            if (start >= 0)
            {
                m.LastUse = ++_uses;
                m.Pins++;
                g.Allocated += units << g.Vdev.Ashift;
                return start;
            }
        }
    }

    private static bool HasCopy(ReadOnlySpan<Dva> dvas, uint vdev)
    {
        foreach (Dva dva in dvas)
        {
            if (dva.Vdev == vdev)
            {
                return true;
            }
        }

        return false;
    }

    // A vdev's turn lasts for an amount of data in proportion to its free space.
    private void AdvanceRotor(MetaslabGroup[] groups, MetaslabGroup used, long bytes)
    {
        if (groups.Length < 2 || !ReferenceEquals(groups, _normal) || !ReferenceEquals(groups[_rotor % groups.Length], used))
        {
            return;
        }

        _rotorBytes += bytes;
        double share = (double)used.Available * groups.Length / Math.Max(1, Sum(groups, static g => g.Available));
        if (_rotorBytes >= Aliquot * share)
        {
            _rotor = (_rotor + 1) % groups.Length;
            _rotorBytes = 0;
        }
    }

    private void FreeBlock(in Blkptr bp, ulong txg, int depth)
    {
        if (bp.IsHole)
        {
            return;
        }

        bool gang = false;
        for (int i = 0; i < 3; i++)
        {
            gang |= bp[i].IsValid && bp[i].IsGang;
        }

        if (gang)
        {
            FreeGangChildren(bp, txg, depth);
        }

        ThreadFlags marks = EnterAsSyncPath();
        try
        {
            for (int i = 0; i < 3; i++)
            {
                Dva dva = bp[i];
                if (dva.IsValid)
                {
                    FreeDva(dva, txg);
                }
            }
        }
        finally
        {
            Exit(marks);
        }
    }

    private void FreeGangChildren(in Blkptr bp, ulong txg, int depth)
    {
        GangHeaderReader reader = ReadGangHeader ?? throw new InvalidOperationException("a gang block is freed, but nobody can read its header");
        if (depth >= MaxGangDepth)
        {
            throw new ZfsException(Errno.ECKSUM, $"gang block nested more than {MaxGangDepth} deep");
        }

        Span<Blkptr> children = stackalloc Blkptr[3];
        reader(bp, children);
        foreach (ref readonly Blkptr child in children)
        {
            if (!child.IsHole && child.PhysicalSize >= bp.PhysicalSize)
            {
                throw new ZfsException(Errno.ECKSUM, $"gang member of {child.PhysicalSize} bytes in a block of {bp.PhysicalSize}");
            }

            FreeBlock(child, txg, depth + 1);
        }
    }

    private void FreeDva(in Dva dva, ulong txg)
    {
        (MetaslabGroup g, Metaslab m, long start, long count) = Locate(dva);
        m.Core.Free(start, count, txg);
        g.Allocated -= count << g.Vdev.Ashift;
        g.Deferred += count << g.Vdev.Ashift;
        MarkDirty(m, txg);
    }

    private (MetaslabGroup Group, Metaslab Metaslab, long Start, long Count) Locate(in Dva dva)
    {
        MetaslabGroup? g = dva.Vdev < _byId.Length ? _byId[dva.Vdev] : null;
        if (g is not null)
        {
            int ashift = g.Vdev.Ashift;
            // The size of a gang DVA is that of its tree; what lies at its offset is one header.
            ulong size = dva.IsGang ? 1UL << ashift : dva.Asize;
            ulong index = dva.Offset >> g.Vdev.MetaslabShift;
            ulong within = dva.Offset & ((1UL << g.Vdev.MetaslabShift) - 1);
            if (index < (ulong)g.Count && ((within | size) & ((1UL << ashift) - 1)) == 0 && within + size <= 1UL << g.Vdev.MetaslabShift)
            {
                return (g, g.Metaslabs[index], (long)(within >> ashift), (long)(size >> ashift));
            }
        }

        throw new ZfsException(Errno.ECKSUM, $"no block can lie at {dva}");
    }

    /// <summary>Marks a block that a log refers to as allocated in <paramref name="txg"/>. False, and nothing taken, if it lies nowhere, or on
    /// something.</summary>
    internal bool TryClaim(in Blkptr bp, ulong txg)
    {
        _mutex.Enter();
        try
        {
            for (int i = 0; i < bp.DvaCount; i++)
            {
                if (TryClaim(bp[i], txg))
                {
                    continue;
                }

                while (--i >= 0)
                {
                    FreeDva(bp[i], txg);
                }

                return false;
            }

            return true;
        }
        finally
        {
            _mutex.Exit();
        }
    }

    private bool TryClaim(in Dva dva, ulong txg)
    {
        MetaslabGroup g;
        Metaslab m;
        long start;
        long count;
        try
        {
            (g, m, start, count) = Locate(dva);
        }
        catch (ZfsException)
        {
            return false;
        }

        Load(m);
        if (m.Damage is not null || !m.Core.TryClaim(start, count, txg))
        {
            return false;
        }

        g.Allocated += count << g.Vdev.Ashift;
        MarkDirty(m, txg);
        Trim();
        return true;
    }

    private void MarkDirty(Metaslab m, ulong txg)
    {
        int slot = (int)(txg % TxgSlots);
        if ((m.DirtySlots & (1 << slot)) == 0)
        {
            m.DirtySlots |= 1 << slot;
            _dirty[slot].Add(m);
        }
    }
}
