namespace ZfsLite.Kmem.Spl;

/// <summary>
/// Thread-specific data (tsd_create and its kin): under one key every thread has a value of its own. A value that is still
/// there goes to the key's destructor, once: in its own thread when that ends, or in the thread that destroys the key.
/// </summary>
/// <remarks>
/// Setting a first value allocates on the GC heap; reading and changing one doesn't. A thread finds its value by a search
/// through those it has: meant for a handful of keys. The key's mutex is a leaf, and isn't held while the destructor runs.
/// An adopted thread never ends, so its values go with the key.
/// </remarks>
/// <param name="destructor">Given each value that is left over; null: nothing is done with it. It must not set values.</param>
public sealed class TsdKey(Action<object>? destructor = null)
{
    private readonly Kmutex _mutex = new("tsd");
    private readonly HashSet<TsdValue> _values = [];
    private bool _destroyed;

    /// <summary>The calling thread's value (tsd_get, tsd_set); null if it has none. Setting null forgets the old one without the
    /// destructor.</summary>
    /// <exception cref="InvalidOperationException">The key is destroyed.</exception>
    public object? Value
    {
        get
        {
            ThrowIf(_destroyed);
            return Kthread.Current.FindTsd(this)?.Value;
        }

        set
        {
            Kthread self = Kthread.Current;
            TsdValue? mine = self.FindTsd(this);
            _mutex.Enter();
            bool destroyed = _destroyed;
            if (!destroyed && mine is not null)
            {
                mine.Value = value;
            }
            else if (!destroyed && value is not null)
            {
                mine = new TsdValue(this, value);
                _values.Add(mine);
                self.AddTsd(mine);
            }

            _mutex.Exit();
            ThrowIf(destroyed);
        }
    }

    /// <summary>True once the key is destroyed.</summary>
    internal bool IsDestroyed => _destroyed;

    /// <summary>Ends the key (tsd_destroy): the values of all living threads go to the destructor, in the calling thread.</summary>
    public void Destroy()
    {
        _mutex.Enter();
        bool destroyed = _destroyed;
        _destroyed = true;
        TsdValue[] left = [.. _values];
        _values.Clear();
        _mutex.Exit();
        ThrowIf(destroyed);
        foreach (TsdValue value in left)
        {
            Destruct(value);
        }
    }

    /// <summary>The thread of a value ends.</summary>
    internal void End(TsdValue value)
    {
        _mutex.Enter();
        bool mine = _values.Remove(value);
        _mutex.Exit();
        if (mine)
        {
            Destruct(value);
        }
    }

    private static void ThrowIf(bool destroyed)
    {
        if (destroyed)
        {
            throw new InvalidOperationException("a tsd key is used after it was destroyed");
        }
    }

    private void Destruct(TsdValue value)
    {
        if (value.Value is { } left)
        {
            destructor?.Invoke(left);
        }
    }
}
