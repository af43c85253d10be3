namespace ZfsLite.Kmem.Spl;

/// <content>The thread's values under <see cref="TsdKey"/>s. Touched by the thread itself only.</content>
public sealed partial class Kthread
{
    private List<TsdValue>? _tsd;
    private bool _exiting;

    internal TsdValue? FindTsd(TsdKey key)
    {
        if (_tsd is { } values)
        {
            foreach (TsdValue value in values)
            {
                if (ReferenceEquals(value.Key, key))
                {
                    return value;
                }
            }
        }

        return null;
    }

    /// <summary>Adds a value, in the place of one whose key is gone if there is such a one.</summary>
    internal void AddTsd(TsdValue value)
    {
        if (_exiting)
        {
            throw new InvalidOperationException($"thread {this} sets thread-specific data while it ends");
        }

        _tsd ??= [];
        int dead = _tsd.FindIndex(static v => v.Key.IsDestroyed);
        if (dead >= 0)
        {
            _tsd[dead] = value;
        }
        else
        {
            _tsd.Add(value);
        }
    }

    private void EndTsd()
    {
        if (_tsd is { } values)
        {
            _tsd = null;
            _exiting = true;
            foreach (TsdValue value in values)
            {
                value.Key.End(value);
            }
        }
    }
}
