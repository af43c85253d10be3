namespace ZfsLite.Kmem.Spl;

/// <summary>A class of locks: all locks of one name. The order of locks is an order of classes.</summary>
public sealed class LockClass : IWaitable
{
    /// <summary>Nesting levels that <c>EnterNested</c> may name.</summary>
    public const int MaxNesting = 10;

    private LockClass?[]? _nested;

    internal LockClass(string name, int id)
    {
        Name = name;
        Id = id;
    }

    /// <summary>Name of the class.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public string WaitName => Name;

    /// <summary>Number of the class; 0 if it isn't tracked because there are too many.</summary>
    internal int Id { get; }

    /// <inheritdoc/>
    public void CollectOwners(ICollection<Kthread> owners)
    {
    }

    /// <summary>The class of a lock taken while another one of the same class is held: level 1 under level 0 and so on.</summary>
    internal LockClass Nested(int level)
    {
        if (level == 0)
        {
            return this;
        }

        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)level, (uint)MaxNesting);
        _nested ??= new LockClass?[MaxNesting];
        return _nested[level] ??= LockOrder.Class($"{Name}/{level}");
    }
}
