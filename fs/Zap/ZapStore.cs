using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Where a ZAP's blocks lie: a held dnode, or another store. A value: making one costs nothing.</summary>
internal readonly unsafe struct ZapStore
{
    private readonly Dnode? _dnode;
    private readonly IZapBlocks? _blocks;

    internal ZapStore(Dnode dnode) => _dnode = dnode;

    internal ZapStore(IZapBlocks blocks) => _blocks = blocks;

    internal int BlockSize => _dnode is not null ? _dnode.BlockSize : _blocks!.BlockSize;

    internal Krwlock Lock => _dnode is not null ? _dnode.ContentLock : _blocks!.Lock;

    internal ZapMicroIndex? Index
    {
        get => (_dnode is not null ? _dnode.UserData : _blocks!.Index) as ZapMicroIndex;
        set
        {
            if (_dnode is not null)
            {
                _dnode.UserData = value;
            }
            else
            {
                _blocks!.Index = value;
            }
        }
    }

    internal string Name => _dnode is not null ? $"ZAP object {_dnode.Object}" : "ZAP";

    internal ZapBlock Hold(ulong blockId)
    {
        if (_dnode is not null)
        {
            Dbuf db = _dnode.HoldBlock(blockId);
            return new ZapBlock(db, db.Data, db.Size);
        }

        object handle = _blocks!.Hold(blockId, out byte* data);
        return new ZapBlock(handle, data, _blocks.BlockSize);
    }

    internal void Dirty(ref ZapBlock block, DmuTx tx)
    {
        if (block.Handle is Dbuf db)
        {
            db.WillDirty(tx);
            block.Data = db.Data;
        }
        else
        {
            block.Data = _blocks!.WillDirty(block.Handle!, tx);
        }
    }

    internal void Release(ref ZapBlock block)
    {
        object? handle = block.Handle;
        block = default;
        if (handle is Dbuf db)
        {
            db.Release();
        }
        else if (handle is not null)
        {
            _blocks!.Release(handle);
        }
    }

    internal void SetBlockSize(int size, DmuTx tx)
    {
        if (_dnode is not null)
        {
            _dnode.SetBlockSize(size, tx);
        }
        else
        {
            _blocks!.SetBlockSize(size, tx);
        }
    }

    internal void FreeBlocks(ulong first, ulong count, DmuTx tx)
    {
        if (_dnode is not null)
        {
            ulong size = (ulong)_dnode.BlockSize;
            _dnode.FreeRange(first * size, count * size, tx);
        }
        else
        {
            _blocks!.FreeBlocks(first, count, tx);
        }
    }

    internal ZfsException Corrupt(string what) => new(Errno.EIO, $"{Name}: {what}");
}
