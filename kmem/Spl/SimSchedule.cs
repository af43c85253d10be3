namespace ZfsLite.Kmem.Spl;

/// <summary>The runnable threads and the choice among them.</summary>
internal sealed class SimSchedule
{
    private readonly bool _pct;
    private readonly ulong _switchBelow;
    private readonly long[] _changeAt;
    private readonly int _patience;
    private SimThread[] _run = new SimThread[16];
    private SplRandom _random;
    private int _changesDone;
    private long _bottom;
    private int _stint;

    internal SimSchedule(SimOptions options)
    {
        _random = new SplRandom(options.Seed);
        _pct = options.Strategy == SimStrategy.Pct;
        _switchBelow = (ulong)(Math.Clamp(options.SwitchProbability, 0, 1) * uint.MaxValue);
        _patience = options.PctPatience;
        _changeAt = [];
        if (_pct)
        {
            _changeAt = new long[Math.Max(0, options.PctDepth - 1)];
            for (int i = 0; i < _changeAt.Length; i++)
            {
                _changeAt[i] = 1 + _random.Below(Math.Max(1, options.PctHorizon));
            }

            Array.Sort(_changeAt);
        }
    }

    internal int Count { get; private set; }

    internal void Enter(SimThread thread)
    {
        if (Count == _run.Length)
        {
            Array.Resize(ref _run, Count * 2);
        }

        if (_pct && thread.Priority == 0)
        {
            thread.Priority = 1 + (long)(_random.Next() >> 2);
        }

        thread.RunIndex = Count;
        _run[Count++] = thread;
    }

    internal void Remove(SimThread thread)
    {
        int i = thread.RunIndex;
        if (i < 0)
        {
            return;
        }

        SimThread last = _run[--Count];
        _run[i] = last;
        last.RunIndex = i;
        thread.RunIndex = -1;
        _run[Count] = null!;
    }

    /// <summary>Who runs after a point of the running thread, itself perhaps.</summary>
    internal SimThread AtPoint(SimThread self, long step)
    {
        if (!_pct)
        {
            return Count > 1 && (_random.Next() >> 32) < _switchBelow ? Other(self) : self;
        }

        if (_changesDone < _changeAt.Length && step >= _changeAt[_changesDone])
        {
            _changesDone++;
            Demote(self);
        }
        else if (++_stint > _patience)
        {
            Demote(self);
        }

        return Highest(self);
    }

    /// <summary>Who runs when the running thread gives way: another one if there is one.</summary>
    internal SimThread AtYield(SimThread self)
    {
        if (Count < 2)
        {
            return self;
        }

        if (!_pct)
        {
            return Other(self);
        }

        Demote(self);
        return Highest(self);
    }

    /// <summary>Who runs when the running thread can't. At least one is runnable.</summary>
    internal SimThread AtBlock() => _pct ? Highest(null) : _run[_random.Below(Count)];

    private void Demote(SimThread self) => self.Priority = --_bottom;

    private SimThread Other(SimThread self)
    {
        int i = _random.Below(Count - 1);
        return _run[i >= self.RunIndex ? i + 1 : i];
    }

    private SimThread Highest(SimThread? self)
    {
        SimThread best = _run[0];
        for (int i = 1; i < Count; i++)
        {
            SimThread t = _run[i];
            if (t.Priority > best.Priority || (t.Priority == best.Priority && t.Thread.Id < best.Thread.Id))
            {
                best = t;
            }
        }

        if (!ReferenceEquals(best, self))
        {
            _stint = 0;
        }

        return best;
    }
}
