using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>The intent log of the file system: opening it, which does again what a crash undid, and reading contents for it.</summary>
public sealed unsafe partial class Zfsvfs
{
    /// <summary>How often changes wait for stable storage: the dataset's property, or what the mount asked for.</summary>
    public SyncMode SyncMode
    {
        get => _log?.Mode ?? SyncMode.Standard;
        set
        {
            if (_log is not null)
            {
                _log.Mode = value;
            }
        }
    }

    /// <summary>
    /// Bytes of a file, for the log that is being written. EAGAIN: the file has left memory, or has been unlinked or cut meanwhile, of which
    /// the log may not tell: its txg has to be waited for.
    /// </summary>
    internal int ReadForLog(ulong obj, ulong offset, int length, byte* destination, out int done)
    {
        done = 0;
        Znode? z = _cache.TryGetCached(obj);
        if (z is null)
        {
            return Errno.EAGAIN;
        }

        try
        {
            if (z.Unlinked || !z.IsRegular)
            {
                return Errno.EAGAIN;
            }

            done = ReadRange(z, offset, length, destination);
            return done > 0 ? 0 : Errno.EAGAIN;
        }
        catch (ZfsException)
        {
            return Errno.EAGAIN;
        }
        finally
        {
            Put(z);
        }
    }

    /// <summary>
    /// For the log: writes the block around an offset now, as <paramref name="txg"/> has it. False: it can't be done, the bytes have to be copied.
    /// <paramref name="end"/>: the end of that block.
    /// </summary>
    internal bool WriteBlockForLog(ulong obj, ulong offset, ulong txg, out ulong end, out Blkptr bp)
    {
        end = offset;
        bp = default;
        Znode? z = _cache.TryGetCached(obj);
        if (z is null)
        {
            return false;
        }

        try
        {
            Dnode dn = z.Dnode!;
            var size = (ulong)dn.BlockSize;
            ulong start = offset - (offset % size);
            end = start + size;
            RangeLockEntry range = z.Range.Enter(_ranges, start, end, writer: false);
            try
            {
                // The block size can't change under the lock of a part of it.
                return !z.Unlinked && z.IsRegular && (ulong)dn.BlockSize == size && offset < SizeOf(z) && dn.TryWriteNow(start / size, txg, out bp);
            }
            finally
            {
                z.Range.Exit(_ranges, range);
            }
        }
        finally
        {
            Put(z);
        }
    }

    /// <summary>The log, for changes of contents and attributes; of a file that has no name any more nothing is to be logged.</summary>
    private Zilog? LogOf(Znode z) => z.Unlinked ? null : _log;

    private static ZilTx LogKindOf(uint mode) => (mode & ZplMode.TypeMask) switch
    {
        ZplMode.Directory => ZilTx.MakeDirectory,
        ZplMode.Link => ZilTx.Symlink,
        _ => ZilTx.Create,
    };

    private void OpenLog()
    {
        var log = new Zilog(_os, this);
        _os.Log = log;
        _log = log;
        if (!_os.ZilHeader->Log.IsHole)
        {
            new ZilReplay(_os, log, this).Run();
        }

        log.Mode = _os.SyncMode;
        log.Bias = _os.LogBias;
    }

    private void CloseLog()
    {
        if (_log is { } log)
        {
            log.Close();
            _os.Log = null;
            _log = null;
            log.Dispose();
        }
    }
}
