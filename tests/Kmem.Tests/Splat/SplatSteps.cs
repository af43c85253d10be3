using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Splat;

/// <summary>
/// The time units of splat's ordered task queue tests. In the simulator they are virtual time, exact. On the operating system,
/// where a busy machine would upset them, time goes on by itself as soon as all threads that could run a task sleep, up to a limit.
/// </summary>
internal sealed class SplatSteps(int threads, int tasks, long unitNs)
{
    private readonly Kmutex _mutex = new("splat_steps");
    private readonly Kcondvar _cv = new("splat_steps");
    private readonly List<int> _sleepers = [];
    private readonly List<int> _order = [];
    private int _now;
    private int _limit;

    /// <summary>The tasks that have ended, in order.</summary>
    internal int[] Order()
    {
        _mutex.Enter();
        int[] order = [.. _order];
        _mutex.Exit();
        return order;
    }

    /// <summary>Body of a task: sleeps for so many units, then is on record as ended.</summary>
    internal void Task(int id, int units)
    {
        if (Backends.IsSim)
        {
            Kthread.Sleep(units * unitNs);
        }

        _mutex.Enter();
        if (!Backends.IsSim)
        {
            int due = _now + units;
            _sleepers.Add(due);
            Advance();
            _cv.Broadcast();
            while (_now < due)
            {
                _cv.Wait(_mutex);
            }

            _sleepers.Remove(due);
        }

        _order.Add(id);
        Advance();
        _mutex.Exit();
    }

    /// <summary>Operating system: waits until so many tasks sleep. Simulator: sleeps for some units.</summary>
    internal void AwaitSleepers(int count, int units)
    {
        if (Backends.IsSim)
        {
            Kthread.Sleep(units * unitNs);
            return;
        }

        _mutex.Enter();
        while (_sleepers.Count < count)
        {
            _cv.Wait(_mutex);
        }

        _mutex.Exit();
    }

    /// <summary>Operating system: lets time go on up to this unit.</summary>
    internal void RunUntil(int unit)
    {
        _mutex.Enter();
        _limit = unit;
        Advance();
        _mutex.Exit();
    }

    private void Advance()
    {
        if (_sleepers.Count == 0 || _sleepers.Count < Math.Min(threads, tasks - _order.Count))
        {
            return;
        }

        int due = _sleepers.Min();
        if (due > _now && due <= _limit)
        {
            _now = due;
            _cv.Broadcast();
        }
    }
}
