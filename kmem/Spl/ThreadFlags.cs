namespace ZfsLite.Kmem.Spl;

/// <summary>Per-thread marks, as in the PF_* word of a Linux task. Only the thread itself changes its own flags.</summary>
[Flags]
public enum ThreadFlags
{
    /// <summary>No mark.</summary>
    None = 0,

    /// <summary>PF_FSTRANS: sleeping allocations lose IO and FS, so that reclaim never enters the file system.</summary>
    Fstrans = 1,

    /// <summary>PF_MEMALLOC: may use the page reserve to the bottom and never enters reclaim.</summary>
    Memalloc = 2,

    /// <summary>The thread is running shrinkers in direct reclaim.</summary>
    InReclaim = 4,

    /// <summary>The thread is kswapd.</summary>
    Kswapd = 8,

    /// <summary>The quiesce, sync or log-writing path: others wait for this thread.</summary>
    SyncPath = 16,

    /// <summary>__GFP_NOMEMALLOC: for one allocation, what reclaimers may have is not for this thread.</summary>
    NoMemalloc = 32,
}
