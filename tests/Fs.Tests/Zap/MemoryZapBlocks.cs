using System.Runtime.InteropServices;
using Xunit;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;
using ZfsLite.Txn;

namespace ZfsLite.Fs.Tests;

/// <summary>
/// A ZAP's blocks in memory. Every announced change moves the block, so code that keeps an old pointer fails; holds are
/// counted, and a change without WillDirty is found by comparing with a copy.
/// </summary>
internal sealed unsafe class MemoryZapBlocks : IZapBlocks, IDisposable
{
    private readonly Dictionary<ulong, Block> _blocks = [];

    public MemoryZapBlocks(int blockSize = 512)
    {
        TestMemory.Ensure();
        BlockSize = blockSize;
    }

    public int BlockSize { get; private set; }

    public Krwlock Lock { get; } = new("memory zap");

    public object? Index { get; set; }

    public int Holds { get; private set; }

    public int DirtyCalls { get; private set; }

    public ulong HighestBlock => _blocks.Count == 0 ? 0 : _blocks.Keys.Max();

    public int BlockCount => _blocks.Count;

    public object Hold(ulong blockId, out byte* data)
    {
        Holds++;
        Block b = Get(blockId);
        data = b.Data;
        return b;
    }

    public byte* WillDirty(object handle, DmuTx tx)
    {
        var b = (Block)handle;
        DirtyCalls++;
        byte* moved = Allocate(BlockSize);
        Buffer.MemoryCopy(b.Data, moved, BlockSize, BlockSize);
        new Span<byte>(b.Data, BlockSize).Fill(0xdb);
        NativeMemory.Free(b.Data);
        b.Data = moved;
        return moved;
    }

    public void Release(object handle) => Holds--;

    public void SetBlockSize(int size, DmuTx tx)
    {
        Assert.True(_blocks.Keys.All(k => k == 0), "block size changed with several blocks");
        Block b = Get(0);
        byte* data = Allocate(size);
        Buffer.MemoryCopy(b.Data, data, size, Math.Min(size, BlockSize));
        NativeMemory.Free(b.Data);
        b.Data = data;
        BlockSize = size;
    }

    public void FreeBlocks(ulong first, ulong count, DmuTx tx)
    {
        for (ulong i = first; i < first + count; i++)
        {
            if (_blocks.Remove(i, out Block? b))
            {
                NativeMemory.Free(b.Data);
            }
        }
    }

    /// <summary>The bytes of a block, for tests that look or damage.</summary>
    public Span<byte> Bytes(ulong blockId) => new(Get(blockId).Data, BlockSize);

    /// <summary>As after a remount: nothing in memory but the blocks.</summary>
    public void Reopen()
    {
        Assert.Equal(0, Holds);
        (Index as IDisposable)?.Dispose();
        Index = null;
    }

    public void Dispose()
    {
        foreach (Block b in _blocks.Values)
        {
            NativeMemory.Free(b.Data);
        }

        _blocks.Clear();
        (Index as IDisposable)?.Dispose();
    }

    private static byte* Allocate(int size) => (byte*)NativeMemory.AllocZeroed((nuint)size);

    private Block Get(ulong id)
    {
        if (!_blocks.TryGetValue(id, out Block? b))
        {
            b = new Block { Data = Allocate(BlockSize) };
            _blocks[id] = b;
        }

        return b;
    }

    private sealed class Block
    {
        public byte* Data;
    }
}
