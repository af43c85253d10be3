using System.Diagnostics.CodeAnalysis;

namespace ZfsLite.Kmem;

/// <summary>A list of slabs, linked through the descriptors of their first pages. Not locked: its owner's lock guards it.</summary>
internal struct SlabList(PageDesc[] pages)
{
    /// <summary>First slab, or -1.</summary>
    internal int Head = -1;

    /// <summary>Last slab, or -1.</summary>
    internal int Tail = -1;

    /// <summary>Slabs in the list.</summary>
    internal int Count;

    /// <summary>Puts a slab first.</summary>
    internal void AddHead(int slab) => Insert(slab, -1, Head);

    /// <summary>Puts a slab last.</summary>
    internal void AddTail(int slab) => Insert(slab, Tail, -1);

    /// <summary>Takes a slab out.</summary>
    internal void Remove(int slab)
    {
        ref PageDesc d = ref pages[slab];
        NextOf(d.Prev) = d.Next;
        PrevOf(d.Next) = d.Prev;
        d.Listed = false;
        Count--;
    }

    private void Insert(int slab, int prev, int next)
    {
        ref PageDesc d = ref pages[slab];
        d.Listed = true;
        d.Prev = prev;
        d.Next = next;
        NextOf(prev) = slab;
        PrevOf(next) = slab;
        Count++;
    }

    /// <summary>What names the slab after this one; -1: the first slab.</summary>
    [UnscopedRef]
    private ref int NextOf(int slab) => ref slab < 0 ? ref Head : ref pages[slab].Next;

    /// <summary>What names the slab before this one; -1: the last slab.</summary>
    [UnscopedRef]
    private ref int PrevOf(int slab) => ref slab < 0 ? ref Tail : ref pages[slab].Prev;
}
