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
        MetaslabBitmap map = m.Core.SnapshotMap();
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

    private void Load(Metaslab m)
    {
        WaitNotBusy(m);
        if (m.Core.IsLoaded || m.Damage is not null)
        {
            return;
        }

        MetaslabBitmap? map = null;
        m.Busy = true;
        _mutex.Exit();
        try
        {
            map = m.ReadMap(_mos);
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

        if (map is null)
        {
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
                Load(m);
                room += m.Core.Available << g.Vdev.Ashift;
                loaded++;
            }
        }
    }

    // Drops the bitmaps that were used longest ago until the rest fits the budget; one for each copy stays.
    private void Trim()
    {
        while (_bitmapBytes > _bitmapBudget)
        {
            Metaslab? oldest = null;
            int loaded = 0;
            foreach (MetaslabGroup? g in _byId)
            {
                foreach (Metaslab m in g?.Metaslabs ?? [])
                {
                    loaded += m.Core.IsLoaded ? 1 : 0;
                    if (m.Core.IsLoaded && !m.Busy && (oldest is null || m.LastUse < oldest.LastUse))
                    {
                        oldest = m;
                    }
                }
            }

            if (oldest is null || loaded <= MetaslabCore.Cursors)
            {
                return;
            }

            oldest.Core.Unload();
            _bitmapBytes -= MetaslabBitmap.BytesFor(oldest.Core.Units);
        }
    }
}
