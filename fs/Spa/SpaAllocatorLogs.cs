using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Log vdevs that come and go while the pool is in use.</summary>
public sealed partial class SpaAllocator
{
    /// <summary>A log vdev joins, all of it free. Log blocks go there from now on.</summary>
    internal void AddLog(Vdev vdev)
    {
        var g = new MetaslabGroup(vdev);
        MakeEmpty(g);
        _mutex.Enter();
        var byId = new MetaslabGroup?[Math.Max(_byId.Length, (int)vdev.Id + 1)];
        _byId.CopyTo(byId, 0);
        byId[vdev.Id] = g;
        _byId = byId;
        _log = [.. _log, g];
        _mutex.Exit();
    }

    /// <summary>Nothing more is allocated on a log vdev, or it is used again.</summary>
    internal void UseLog(uint vdev, bool use)
    {
        _mutex.Enter();
        _log = [.. _log.Where(g => g.Vdev.Id != vdev)];
        if (use && _byId[vdev] is { } group)
        {
            _log = [.. _log, group];
        }

        _mutex.Exit();
    }

    /// <summary>
    /// In the sync thread, of a log vdev that is not used any more (<see cref="UseLog"/>): frees its space maps, its metaslab array too, and
    /// forgets it. False, and nothing done, if something is allocated there, or its last frees are not on disk yet.
    /// </summary>
    internal bool TryRemoveLog(uint vdev, DmuTx tx)
    {
        MetaslabGroup group = _byId[vdev]!;
        _mutex.Enter();
        bool idle = group.Allocated == 0;
        foreach (Metaslab m in group.Metaslabs)
        {
            WaitNotBusy(m);
            idle &= m.DirtySlots == 0;
        }

        _mutex.Exit();
        if (!idle)
        {
            return false;
        }

        FreeMaps(group, tx);
        Dnode array = _mos!.HoldObject(group.Vdev.MetaslabArray);
        _mos.FreeObject(array, tx);
        array.Release();
        Forget(group);
        return true;
    }

    /// <summary>In the sync thread, of a missing log vdev that nothing refers to any more: all of it is free.</summary>
    internal unsafe void ClearLog(uint vdev, DmuTx tx)
    {
        MetaslabGroup group = _byId[vdev]!;
        if (group.Metaslabs.All(static m => m.Object == 0))
        {
            return;
        }

        FreeMaps(group, tx);
        Dnode array = _mos!.HoldObject(group.Vdev.MetaslabArray);
        fixed (byte* zeros = new byte[group.Count * sizeof(ulong)])
        {
            array.Write(0, group.Count * sizeof(ulong), zeros, tx);
        }

        array.Release();
        var fresh = new MetaslabGroup(group.Vdev);
        MakeEmpty(fresh);
        Forget(group);
        _mutex.Enter();
        _byId[vdev] = fresh;
        _mutex.Exit();
    }

    /// <summary>Frees a range in which everything is allocated.</summary>
    internal void FreeRange(uint vdev, ulong offset, ulong length, ulong txg)
    {
        const ulong PieceMax = 1 << 30;
        ulong metaslab = 1UL << _byId[vdev]!.Vdev.MetaslabShift;
        _mutex.Enter();
        for (ulong end = offset + length; offset < end;)
        {
            ulong piece = Math.Min(Math.Min(end - offset, PieceMax), metaslab - (offset & (metaslab - 1)));
            FreeDva(Dva.Create(vdev, offset, piece), txg);
            offset += piece;
        }

        _mutex.Exit();
    }

    private void MakeEmpty(MetaslabGroup? g)
    {
        for (int i = 0; i < g?.Count; i++)
        {
            g.Metaslabs[i] = new Metaslab(g, i, _memory, 0, 0, 0);
        }
    }

    private void FreeMaps(MetaslabGroup group, DmuTx tx)
    {
        foreach (Metaslab m in group.Metaslabs)
        {
            if (m.Object != 0)
            {
                Dnode map = _mos!.HoldObject(m.Object);
                _mos.FreeObject(map, tx);
                map.Release();
            }
        }
    }

    private void Forget(MetaslabGroup group)
    {
        _mutex.Enter();
        foreach (Metaslab m in group.Metaslabs)
        {
            _bitmapBytes -= m.Core.IsLoaded ? MetaslabBitmap.BytesFor(m.Core.Units) : 0;
            m.Core.Dispose();
        }

        _byId = [.. _byId.Select(g => ReferenceEquals(g, group) ? null : g)];
        _mutex.Exit();
    }
}
