using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Reading and writing space maps. All of it under the mutex, which is let go while the DMU is called.</summary>
public sealed partial class SpaAllocator
{
    private void WaitNotBusy(Metaslab m)
    {
        while (m.Busy)
        {
            _notBusy.Wait(_mutex);
        }
    }

    private bool SyncMetaslab(Objset mos, Metaslab m, ulong txg, DmuTx tx)
    {
        WaitNotBusy(m);
        if (!m.Core.HasPending(txg))
        {
            return false;
        }

        (RangeList? allocs, RangeList? frees) = m.Core.BeginEmit(txg);
        m.Busy = true;
        _mutex.Exit();
        try
        {
            if (m.WriteMap(mos, allocs, frees, tx))
            {
                EnterInArray(mos, m, tx);
            }
        }
        catch
        {
            // The txg can't be written any more: the caller suspends the pool.
            allocs?.Clear();
            frees?.Clear();
            throw;
        }
        finally
        {
            _mutex.Enter();
            m.Busy = false;
            _notBusy.Broadcast();
        }

        m.Core.EndEmit(allocs, frees);
        if (_condensedTxg != txg && m.Core.IsLoaded && m.HasGrownByABlock())
        {
            TryCondense(mos, m, txg, tx);
        }

        return true;
    }

    private void TryCondense(Objset mos, Metaslab m, ulong txg, DmuTx tx)
    {
        if (m.Core.SnapshotMap() is not { } map)
        {
            return;
        }

        m.Busy = true;
        _mutex.Exit();
        try
        {
            if (m.ShouldCondense(map))
            {
                m.RewriteMap(mos, map, tx);
                _condensedTxg = txg;
                Condensed++;
            }
        }
        finally
        {
            map.Dispose();
            _mutex.Enter();
            m.Busy = false;
            _notBusy.Broadcast();
        }
    }

    private static unsafe void EnterInArray(Objset mos, Metaslab m, DmuTx tx)
    {
        Dnode array = mos.HoldObject(m.Group.Vdev.MetaslabArray);
        try
        {
            ulong obj = m.Object;
            array.Write((ulong)m.Index * sizeof(ulong), sizeof(ulong), (byte*)&obj, tx);
        }
        finally
        {
            array.Release();
        }
    }

    /// <summary>A bitmap is set aside for the sync path, unless metaslabs are so large that it would weigh on the arena.</summary>
    private Mempool? MakeBitmapPool()
    {
        const int ArenaPart = 64;
        long bytes = MetaslabBitmap.BytesFor(_normal.Select(static g => g.UnitsPerMetaslab).DefaultIfEmpty(0).Max());
        return SyncPool.InForce && bytes > 0 && bytes <= KmemSystem.Current.ArenaBytes / ArenaPart ? Mempool.OfSize("metaslab_bitmap", bytes, 1) : null;
    }

    /// <summary>An empty bitmap. The sync path does not wait for one: it draws on the reserve, and then has another metaslab's; or, if it can
    /// do without, null.</summary>
    private MetaslabBitmap? TakeBitmap(Metaslab m, bool must)
    {
        long units = m.Core.Units;
        Mempool? pool = _bitmaps is { } p && p.ElementBytes == MetaslabBitmap.BytesFor(units) ? p : null;
        if (!SyncPool.InForce || !SyncPool.IsSyncThread)
        {
            return MetaslabBitmap.TryCreate(units, KmFlags.PushPage, pool);
        }

        while (true)
        {
            MetaslabBitmap? map = MetaslabBitmap.TryCreate(units, KmFlags.PushPage | KmFlags.NoSleep, pool);
            if (map is null && must && pool is not null)
            {
                map = MetaslabBitmap.TryDraw(units, pool);
            }

            if (map is not null || !must)
            {
                return map;
            }

            if (!UnloadOldest(0))
            {
                return MetaslabBitmap.TryCreate(units, KmFlags.PushPage, pool);
            }
        }
    }

    private void Load(Metaslab m, bool must = true)
    {
        WaitNotBusy(m);
        if (m.Core.IsLoaded || m.Damage is not null || TakeBitmap(m, must) is not { } map)
        {
            return;
        }

        m.Busy = true;
        _mutex.Exit();
        try
        {
            m.ReadMap(_mos, map);
        }
        catch (ZfsException e)
        {
            m.Damage = e.Message;
        }
        finally
        {
            _mutex.Enter();
            m.Busy = false;
            _notBusy.Broadcast();
        }

        if (m.Damage is not null)
        {
            map.Dispose();
            return;
        }

        try
        {
            m.Core.Load(map);
            m.LastUse = ++_uses;
            _bitmapBytes += MetaslabBitmap.BytesFor(m.Core.Units);
        }
        catch (ZfsException e)
        {
            map.Dispose();
            m.Damage = e.Message;
        }
    }

    private void Preload(MetaslabGroup g, long bytes)
    {
        long room = 0;
        int loaded = 0;
        foreach (Metaslab m in g.Metaslabs)
        {
            room += m.Core.IsLoaded ? m.Core.Available << g.Vdev.Ashift : 0;
            loaded += m.Core.IsLoaded ? 1 : 0;
        }

        int third = (g.Count + 2) / 3;
        for (int i = 0; i < third * 3; i++)
        {
            // In three places at once, one for each copy number.
            int index = (i % 3 * third) + (i / 3);
            if ((room >= bytes && loaded >= LoadedMin) || _bitmapBytes >= _bitmapBudget)
            {
                return;
            }

            if (index >= g.Count)
            {
                continue;
            }

            Metaslab m = g.Metaslabs[index];
            if (!m.Core.IsLoaded && m.Damage is null && m.Core.Available > m.Core.Units / 8)
            {
                Load(m, must: loaded == 0);
                if (!m.Core.IsLoaded)
                {
                    if (m.Damage is null)
                    {
                        return;
                    }

                    continue;
                }

                room += m.Core.Available << g.Vdev.Ashift;
                loaded++;
            }
        }
    }

    // Drops the bitmaps that were used longest ago until the rest fits the budget; one for each copy stays.
    private void Trim()
    {
        while (_bitmapBytes > _bitmapBudget && UnloadOldest(MetaslabCore.Cursors))
        {
        }
    }

    /// <summary>Drops the bitmap that was used longest ago, if more than so many are loaded.</summary>
    private bool UnloadOldest(int keep)
    {
        Metaslab? oldest = null;
        int loaded = 0;
        foreach (MetaslabGroup? g in _byId)
        {
            foreach (Metaslab m in g?.Metaslabs ?? [])
            {
                loaded += m.Core.IsLoaded ? 1 : 0;
                if (m.Core.IsLoaded && !m.Busy && m.Pins == 0 && (oldest is null || m.LastUse < oldest.LastUse))
                {
                    oldest = m;
                }
            }
        }

        if (oldest is null || loaded <= keep)
        {
            return false;
        }

        oldest.Core.Unload();
        _bitmapBytes -= MetaslabBitmap.BytesFor(oldest.Core.Units);
        return true;
    }
}
