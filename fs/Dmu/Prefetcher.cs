using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// Reads ahead of sequential readers (zfetch): when a read goes on where the last one of its object ended, the blocks behind it are
/// brought in by worker threads. At most <see cref="EntriesMax"/> requests are under way; more are dropped, since they are only hints.
/// </summary>
internal sealed class Prefetcher
{
    internal const int EntriesMax = 16;
    private const ulong AheadBytes = 2UL << 20;

    private readonly Taskq _taskq;
    private readonly Kmutex _mutex = new("zfetch_mtx");
    private Entry? _free;

    internal Prefetcher(int workers)
    {
        _taskq = new Taskq("zfetch", workers, Fstrans.WorkerFlags);
        for (int i = 0; i < EntriesMax; i++)
        {
            _free = new Entry(this) { NextFree = _free };
        }
    }

    /// <summary>A read of [offset, offset + length) was made; the object remembers where it ended and how far ahead was asked for.</summary>
    internal void NoteRead(Dnode dn, ulong offset, long length)
    {
        ulong end = offset + (ulong)length;
        bool sequential = offset == dn.ReadEnd && offset != 0;
        dn.ReadEnd = end;
        if (!sequential)
        {
            dn.PrefetchEnd = 0;
            return;
        }

        ulong bs = (ulong)dn.BlockSize;
        ulong from = Math.Max(dn.PrefetchEnd, (end + bs - 1) / bs);
        ulong to = Math.Min((end + AheadBytes) / bs, dn.MaxBlockId + 1);

        // Half the distance is used up before more is asked for.
        if (to <= from || to - from < AheadBytes / bs / 2)
        {
            return;
        }

        dn.PrefetchEnd = to;
        Dispatch(dn, from, to);
    }

    internal void Drain() => _taskq.Wait();

    internal void Destroy() => _taskq.Destroy();

    private void Dispatch(Dnode dn, ulong from, ulong to)
    {
        _mutex.Enter();
        Entry? entry = _free;
        if (entry is not null)
        {
            _free = entry.NextFree;
        }

        _mutex.Exit();
        if (entry is null)
        {
            return;
        }

        dn.AddHold();
        entry.Dn = dn;
        entry.From = from;
        entry.To = to;
        _taskq.Dispatch(entry);
    }

    private sealed class Entry(Prefetcher owner) : TaskqEntry
    {
        internal Dnode? Dn;
        internal ulong From;
        internal ulong To;
        internal Entry? NextFree;

        protected override void Run()
        {
            Dnode dn = Dn!;
            Dn = null;
            ulong from = From;
            ulong to = To;
            try
            {
                for (ulong b = from; b < to && b <= dn.MaxBlockId; b++)
                {
                    dn.Prefetch(b);
                }
            }
            finally
            {
                dn.Release();
                owner._mutex.Enter();
                NextFree = owner._free;
                owner._free = this;
                owner._mutex.Exit();
            }
        }
    }
}
