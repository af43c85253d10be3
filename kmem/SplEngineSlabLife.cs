using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <content>Laboratory: objects that are constructed with their slab and destructed with it (<see cref="SplEngineOptions.SlabLife"/>).</content>
internal sealed unsafe partial class SplEngine
{
    private readonly KmemObjectAction? _constructor;
    private readonly KmemObjectAction? _destructor;
    private readonly bool _slabLife;

    /// <summary>The engine runs the constructor and the destructor, not the cache.</summary>
    internal bool SlabLife => _slabLife;

    /// <summary>Gives back the slabs that have been empty for so long.</summary>
    internal void AgeSlabs(long ns)
    {
        if (_slabLife)
        {
            _ = ReclaimSlabs(int.MaxValue, Kclock.NowNs - ns);
        }
    }

    /// <summary>The next slab to give back, on the way from the tail to the head, unless somebody waits for just that one. Without slab life
    /// empty slabs are all at the tail, and the first that isn't empty ends it; with it every slab is looked at. The lock is held.</summary>
    /// <param name="slab">Where to begin, or null.</param>
    /// <param name="emptySinceNs">Slabs that became empty later stay.</param>
    private SplSlab* NextEmpty(SplSlab* slab, long emptySinceNs)
    {
        while (_slabLife && slab != null && (slab->InUse != 0 || slab->EmptyAtNs > emptySinceNs))
        {
            slab = slab->Prev;
        }

        return slab != null && slab->InUse == 0 && (_expecting == 0 || _partialHead != _partialTail) ? slab : null;
    }

    /// <summary>Runs the constructor or destructor of a slab's objects. The slab is in no list.</summary>
    private void ForEachObject(SplSlab* slab, KmemObjectAction? action)
    {
        for (int i = 0; action is not null && i < slab->Objects; i++)
        {
            action(ObjectAt(slab, i));
        }
    }
}
