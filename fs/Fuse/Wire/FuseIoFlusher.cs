namespace ZfsLite.Fs;

/// <summary>
/// PR_SET_IO_FLUSHER: tells the host kernel that a thread serves a file system, so that its own allocations never wait for
/// writeback to that very file system: the host's form of the FSTRANS mark. Threads inherit it from the thread that starts
/// them: a tool asks for it on its first thread too.
/// </summary>
public static class FuseIoFlusher
{
    /// <summary>"on", or why not; "not asked" before the first try.</summary>
    public static string Status { get; private set; } = "not asked";

    /// <summary>Marks the calling thread. False without CAP_SYS_RESOURCE, or on a kernel before 5.6.</summary>
    public static bool TryEnable()
    {
        if (FuseLibc.Prctl(FuseLibc.PrSetIoFlusher, 1, 0, 0, 0) == 0)
        {
            Status = "on";
            return true;
        }

        int error = System.Runtime.InteropServices.Marshal.GetLastPInvokeError();
        Status = error == Errno.EPERM ? "off: needs CAP_SYS_RESOURCE" : $"off: {ErrnoName.Of(error)}";
        return false;
    }
}
