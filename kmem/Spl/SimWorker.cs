namespace ZfsLite.Kmem.Spl;

/// <summary>
/// An operating system thread that runs simulated threads, one after the other. It sleeps on its baton word except while it
/// is the one that may run. Workers are kept for the next run: starting a thread costs many times a hand-off.
/// </summary>
internal sealed unsafe class SimWorker
{
    private static readonly Stack<SimWorker> s_idle = new();
    private static int s_count;

    private readonly int[] _word = GC.AllocateArray<int>(16, pinned: true);
    private readonly int* _baton;
    private SimThread? _job;

    private SimWorker()
    {
        _baton = (int*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref _word[0]);
        var thread = new Thread(Loop, 1 << 20) { IsBackground = true, Name = $"sim/{++s_count}" };
        thread.UnsafeStart();
    }

    /// <summary>How many workers exist.</summary>
    internal static int Count => s_count;

    /// <summary>A worker for this thread. Called by whoever may run now, so the pool needs no lock.</summary>
    internal static SimWorker Take(SimThread job)
    {
        SimWorker worker = s_idle.Count > 0 ? s_idle.Pop() : new SimWorker();
        worker._job = job;
        return worker;
    }

    /// <summary>Hands this worker back, just before its thread hands on the baton for the last time.</summary>
    internal void Release() => s_idle.Push(this);

    /// <summary>Passes the baton to this worker.</summary>
    internal void Give() => Give(_baton);

    /// <summary>Sleeps until the baton comes.</summary>
    internal void Await() => Await(_baton);

    internal static void Give(int* baton)
    {
        Volatile.Write(ref *baton, 1);
        Futex.WakeOne(baton);
    }

    internal static void Await(int* baton)
    {
        while (Volatile.Read(ref *baton) == 0)
        {
            Futex.Wait(baton, 0);
        }

        *baton = 0;
    }

    private void Loop()
    {
        SimCpu.Pin();
        while (true)
        {
            Await();
            SimThread job = _job!;
            _job = null;
            job.Run.Execute(job);
        }
    }
}
