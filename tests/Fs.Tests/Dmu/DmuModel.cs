using Xunit;
using ZfsLite.Fs;
using ZfsLite.Kmem;
using ZfsLite.Txn;

namespace Fs.Tests.Dmu;

/// <summary>
/// Random work on the objects of one object set, checked against what a plain dictionary says. Each worker has objects of its own;
/// the contents of a block follow from the number of the operation that wrote it.
/// </summary>
internal sealed unsafe class DmuModel
{
    private readonly SplitMix _random;
    private readonly SortedDictionary<ulong, (int BlockSize, SortedDictionary<ulong, int> Blocks)> _objects = [];
    private int _operation;

    internal DmuModel(ulong seed) => _random = new SplitMix(seed);

    internal int NoSpace { get; private set; }

    internal int ObjectCount => _objects.Count;

    internal void Step(Spa spa, Objset os)
    {
        _operation++;
        int what = _random.Next(100);
        if (_objects.Count == 0 || what < 12)
        {
            Create(spa, os);
            return;
        }

        ulong obj = _objects.Keys.ElementAt(_random.Next(_objects.Count));
        if (what < 65)
        {
            Write(spa, os, obj);
        }
        else if (what < 78)
        {
            FreeRange(spa, os, obj);
        }
        else if (what < 84)
        {
            Free(spa, os, obj);
        }
        else
        {
            Check(os, obj);
        }
    }

    internal void CheckAll(Objset os)
    {
        foreach (ulong obj in _objects.Keys)
        {
            Check(os, obj);
        }
    }

    internal void FreeAll(Spa spa, Objset os)
    {
        foreach (ulong obj in _objects.Keys.ToArray())
        {
            Free(spa, os, obj);
        }
    }

    private static void Fill(Span<byte> block, int operation)
    {
        var random = new SplitMix((ulong)operation);
        int half = block.Length / 2;
        for (int i = 0; i + 8 <= half; i += 8)
        {
            BitConverter.TryWriteBytes(block[i..], random.NextUInt64());
        }

        block[half..].Fill((byte)operation);
    }

    private void Create(Spa spa, Objset os)
    {
        int bs = 512 << _random.Next(9);
        DmuTx tx = DmuTx.Create(spa.Txg);
        tx.HoldNewObject(os, bs);
        if (!Assigned(tx))
        {
            return;
        }

        Dnode dn = os.AllocateObject(DmuOt.PlainOther, bs, DmuOt.Uint64Other, 8, tx);
        *(ulong*)dn.Bonus = dn.Object * 3;
        Assert.False(_objects.ContainsKey(dn.Object), $"object {dn.Object} handed out twice");
        _objects[dn.Object] = (bs, []);
        tx.Commit();
        dn.Release();
    }

    private void Write(Spa spa, Objset os, ulong obj)
    {
        (int bs, SortedDictionary<ulong, int> blocks) = _objects[obj];
        ulong b = _random.Next(5) == 0 ? (ulong)_random.Next(40_000) : (ulong)_random.Next(12);
        Dnode dn = os.HoldObject(obj);
        DmuTx tx = DmuTx.Create(spa.Txg);
        tx.HoldWrite(dn, b * (ulong)bs, bs);
        if (Assigned(tx))
        {
            byte* buffer = KmemAllocator.Alloc(bs, tx.AllocFlags);
            Fill(new Span<byte>(buffer, bs), _operation);
            dn.Write(b * (ulong)bs, bs, buffer, tx);
            KmemAllocator.Free(buffer, bs);
            blocks[b] = _operation;
            tx.Commit();
        }

        dn.Release();
    }

    private void FreeRange(Spa spa, Objset os, ulong obj)
    {
        (int bs, SortedDictionary<ulong, int> blocks) = _objects[obj];
        ulong first = (ulong)_random.Next(14);
        ulong count = _random.Next(3) == 0 ? ulong.MaxValue : (ulong)_random.Next(8) + 1;
        Dnode dn = os.HoldObject(obj);
        DmuTx tx = DmuTx.Create(spa.Txg);
        ulong length = count == ulong.MaxValue ? count : count * (ulong)bs;
        tx.HoldFree(dn, first * (ulong)bs, length);
        if (Assigned(tx))
        {
            dn.FreeRange(first * (ulong)bs, length, tx);
            foreach (ulong b in blocks.Keys.Where(b => b >= first && (count == ulong.MaxValue || b < first + count)).ToArray())
            {
                blocks[b] = 0;
            }

            tx.Commit();
        }

        dn.Release();
    }

    private void Free(Spa spa, Objset os, ulong obj)
    {
        Dnode dn = os.HoldObject(obj);
        DmuTx tx = DmuTx.Create(spa.Txg);
        tx.HoldFree(dn, 0, ulong.MaxValue);
        if (Assigned(tx))
        {
            os.FreeObject(dn, tx);
            tx.Commit();
            _ = _objects.Remove(obj);
        }

        dn.Release();
    }

    private void Check(Objset os, ulong obj)
    {
        (int bs, SortedDictionary<ulong, int> blocks) = _objects[obj];
        Dnode dn = os.HoldObject(obj);
        Assert.Equal(dn.Object * 3, *(ulong*)dn.Bonus);
        Assert.Equal(bs, dn.BlockSize);
        byte* got = KmemAllocator.Alloc(bs, KmFlags.Sleep);
        var expected = new byte[bs];
        foreach ((ulong b, int operation) in blocks)
        {
            Array.Clear(expected);
            if (operation != 0)
            {
                Fill(expected, operation);
            }

            dn.Read(b * (ulong)bs, bs, got);
            Assert.True(new Span<byte>(got, bs).SequenceEqual(expected), $"object {obj} block {b}: not what operation {operation} wrote");
        }

        KmemAllocator.Free(got, bs);
        dn.Release();
    }

    private bool Assigned(DmuTx tx)
    {
        int error = tx.Assign(TxAssign.Wait);
        if (error == 0)
        {
            return true;
        }

        Assert.Equal(Errno.ENOSPC, error);
        NoSpace++;
        tx.Abort();
        return false;
    }
}
