using Xunit;

namespace ZfsLite.Kmem.Tests;

/// <summary>Live objects with contents that are checked: each is filled by its own number from first to last byte.</summary>
internal sealed unsafe class ObjectModel
{
    private readonly List<(nint Address, int Size, uint Mark)> _live = [];
    private uint _next = 1;

    internal int Count => _live.Count;

    internal void Add(byte* p, int size)
    {
        Assert.True(p != null);
        uint mark = _next++;
        Fill(p, size, mark);
        _live.Add(((nint)p, size, mark));
    }

    internal (nint Address, int Size) Take(int index)
    {
        (nint address, int size, uint mark) = _live[index];
        _live[index] = _live[^1];
        _live.RemoveAt(_live.Count - 1);
        Check((byte*)address, size, mark);
        return (address, size);
    }

    private static void Fill(byte* p, int size, uint mark)
    {
        for (int i = 0; i < size; i++)
        {
            p[i] = (byte)((mark + (uint)i) * 0x9E3779B1 >> 24);
        }
    }

    private static void Check(byte* p, int size, uint mark)
    {
        for (int i = 0; i < size; i++)
        {
            if (p[i] != (byte)((mark + (uint)i) * 0x9E3779B1 >> 24))
            {
                Assert.Fail($"byte {i} of an object of {size} bytes was overwritten");
            }
        }
    }
}
