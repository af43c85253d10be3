namespace ZfsLite.Fs;

/// <summary>
/// What carries FUSE messages: the kernel's /dev/fuse, or memory, so that the simulator, the tests and the fuzzer drive the
/// same session without a kernel.
/// </summary>
public unsafe interface IFuseTransport
{
    /// <summary>Waits for the next request and scatters it over the pieces.</summary>
    /// <param name="pieces">Where it goes.</param>
    /// <param name="count">How many pieces.</param>
    /// <param name="sleep">Sleep until there is one; otherwise only look for some microseconds.</param>
    /// <param name="waited">There was none at first.</param>
    /// <returns>
    /// Bytes read, or a negative errno: -EAGAIN none came and sleep is false, -EINTR woken by <see cref="Stop"/> or by a
    /// signal, -ENODEV when the file system is unmounted, -ENOENT when the request went away while it was read.
    /// </returns>
    int Read(Iovec* pieces, int count, bool sleep, out bool waited);

    /// <summary>Sends one whole reply, gathered from the pieces.</summary>
    /// <returns>0, or a negative errno (-ENOENT: nobody waits for it any more).</returns>
    int Write(Iovec* pieces, int count);

    /// <summary>Called by each worker thread before its first read.</summary>
    void EnterWorker();

    /// <summary>Called by each worker thread after its last read.</summary>
    void LeaveWorker();

    /// <summary>True once <see cref="Stop"/> was called.</summary>
    bool IsStopping { get; }

    /// <summary>Makes every present and future <see cref="Read"/> return -EINTR. May be called again to wake stragglers.</summary>
    void Stop();
}
