namespace ZfsLite.Kmem.Spl;

/// <summary>
/// The queue for work that is too rare and too short for a queue of its own (system_taskq): dynamic, up to 64 threads, which
/// carry the FSTRANS mark. Nothing that waits for other work of this queue may run here but for a bounded time.
/// </summary>
public static class SystemTaskq
{
    /// <summary>The most threads it has.</summary>
    public const int ThreadsMax = 64;

    private static readonly Kmutex s_mutex = new("system_taskq");
    private static Taskq? s_queue;

    static SystemTaskq()
    {
        if (SplPlatform.IsSimulated)
        {
            SimWorld.OnReset(static () => s_queue = null);
        }
    }

    /// <summary>The queue; made at first use.</summary>
    public static Taskq Queue
    {
        get
        {
            s_mutex.Enter();
            Taskq queue = s_queue ??= new Taskq("system", ThreadsMax, isDynamic: true);
            s_mutex.Exit();
            return queue;
        }
    }

    /// <summary>Runs what is queued and ends the threads, if there are any. A later use makes the queue anew.</summary>
    public static void Destroy()
    {
        s_mutex.Enter();
        Taskq? queue = s_queue;
        s_queue = null;
        s_mutex.Exit();
        queue?.Destroy();
    }
}
