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

    internal void AddHead(int slab)
    {
        ref PageDesc d = ref pages[slab];
        d.Listed = true;
        d.Prev = -1;
        d.Next = Head;
        if (Head >= 0)
        {
            pages[Head].Prev = slab;
        }
        else
        {
            Tail = slab;
        }

        Head = slab;
        Count++;
    }

    internal void AddTail(int slab)
    {
        ref PageDesc d = ref pages[slab];
        d.Listed = true;
        d.Next = -1;
        d.Prev = Tail;
        if (Tail >= 0)
        {
            pages[Tail].Next = slab;
        }
        else
        {
            Head = slab;
        }

        Tail = slab;
        Count++;
    }

    internal void Remove(int slab)
    {
        ref PageDesc d = ref pages[slab];
        if (d.Prev >= 0)
        {
            pages[d.Prev].Next = d.Next;
        }
        else
        {
            Head = d.Next;
        }

        if (d.Next >= 0)
        {
            pages[d.Next].Prev = d.Prev;
        }
        else
        {
            Tail = d.Prev;
        }

        d.Listed = false;
        Count--;
    }
}
