using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>
/// Locks: fcntl's of processes and of open descriptions, and flock. Another process's locks are those of a thread with a
/// descriptor table of its own: it is the table that owns them.
/// </summary>
public sealed class LockCases : PosixCases
{
    private const int Get = 5, Set = 6, SetWait = 7, OfdGet = 36, OfdSet = 37;
    private const int Shared = 1, Exclusive = 2, NonBlocking = 4, Unlock = 8;
    private const int CloneFiles = 0x400;

    private static int Lock(int fd, int command, short type, long start, long length)
    {
        var fileLock = new FileLock { Type = type, Start = start, Length = length };
        return Sys.Fcntl(fd, command, ref fileLock);
    }

    private static FileLock Ask(int fd, int command, short type, long start, long length)
    {
        var fileLock = new FileLock { Type = type, Start = start, Length = length };
        Must(Sys.Fcntl(fd, command, ref fileLock));
        return fileLock;
    }

    /// <summary>As another process would.</summary>
    private T Elsewhere<T>(Func<T> action) => Person.OnThread(Work, () =>
    {
        Must(Sys.Result(Libc.Unshare(CloneFiles)));
        try
        {
            return action();
        }
        finally
        {
            // A thread that the runtime started from this one shares its descriptors, and outlives it.
            CloseInThisTable();
        }
    }, 0x12);

    [PosixCase]
    public void Locks_of_processes_keep_others_out_of_their_range()
    {
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        Must(Lock(fd, Set, FileLock.Write, 100, 50));
        Fails(E.AGAIN, Elsewhere(() => Lock(fd, Set, FileLock.Read, 149, 1)));
        Must(Elsewhere(() => Lock(fd, Set, FileLock.Write, 150, 10)));
        Must(Elsewhere(() => Lock(fd, Set, FileLock.Write, 0, 100)));
        FileLock found = Elsewhere(() => Ask(fd, Get, FileLock.Write, 0, 0));
        Assert.Equal((FileLock.Write, 100L, 50L, Environment.ProcessId), (found.Type, found.Start, found.Length, found.Pid));
        Must(Lock(fd, Set, FileLock.Read, 100, 50));
        Must(Elsewhere(() => Lock(fd, Set, FileLock.Read, 120, 10)));
        Fails(E.AGAIN, Elsewhere(() => Lock(fd, Set, FileLock.Write, 120, 10)));
        Must(Lock(fd, Set, FileLock.None, 110, 20));
        Must(Elsewhere(() => Lock(fd, Set, FileLock.Write, 110, 20)));
        Fails(E.AGAIN, Elsewhere(() => Lock(fd, Set, FileLock.Write, 109, 1)));
        Fails(E.AGAIN, Elsewhere(() => Lock(fd, Set, FileLock.Write, 130, 1)));
    }

    [PosixCase]
    public void Closing_any_descriptor_of_the_file_ends_a_processs_locks()
    {
        int fd = Open("f", Sys.Creat | Sys.RdWr), other = Open("f", Sys.RdOnly);
        Must(Lock(fd, Set, FileLock.Write, 0, 0));
        Fails(E.AGAIN, Elsewhere(() => Lock(fd, Set, FileLock.Write, 0, 0)));
        Close(other);
        Must(Elsewhere(() => Lock(fd, Set, FileLock.Write, 0, 0)));
    }

    [PosixCase]
    public void Who_waits_gets_the_lock_when_it_is_given_up()
    {
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        Must(Lock(fd, Set, FileLock.Write, 0, 10));
        int result = -1;
        var waiter = new Thread(() => Volatile.Write(ref result, Elsewhere(() => Lock(fd, SetWait, FileLock.Write, 5, 1))));
        waiter.Start();
        Thread.Sleep(100);
        Assert.Equal(-1, Volatile.Read(ref result));
        Must(Lock(fd, Set, FileLock.None, 0, 10));
        Assert.True(waiter.Join(10_000), "the waiter was not woken");
        Assert.Equal(0, result);
    }

    [PosixCase]
    public void Locks_of_open_descriptions_belong_to_them()
    {
        int a = Open("f", Sys.Creat | Sys.RdWr), b = Open("f", Sys.RdWr), read = Open("f", Sys.RdOnly);
        Must(Lock(a, OfdSet, FileLock.Write, 0, 100));
        Fails(E.AGAIN, Lock(b, OfdSet, FileLock.Read, 50, 1));
        Assert.Equal(FileLock.Write, Ask(b, OfdGet, FileLock.Read, 50, 1).Type);
        Must(Lock(b, OfdSet, FileLock.Write, 100, 1));
        Fails(E.BADF, Lock(read, OfdSet, FileLock.Write, 200, 1));
        Close(a);
        Must(Lock(b, OfdSet, FileLock.Write, 0, 100));
    }

    [PosixCase]
    public void Flock_is_shared_or_exclusive_and_goes_with_the_description()
    {
        int a = Open("f", Sys.Creat | Sys.RdWr), b = Open("f", Sys.RdOnly), c = Open("f", Sys.RdOnly);
        Must(Sys.Flock(a, Shared));
        Must(Sys.Flock(b, Shared | NonBlocking));
        Fails(E.AGAIN, Sys.Flock(c, Exclusive | NonBlocking));
        Must(Sys.Flock(a, Unlock));
        Fails(E.AGAIN, Sys.Flock(c, Exclusive | NonBlocking));
        Close(b);
        Must(Sys.Flock(c, Exclusive | NonBlocking));
        Fails(E.AGAIN, Sys.Flock(a, Shared | NonBlocking));
        Must(Sys.Flock(c, Shared));
        Must(Sys.Flock(a, Shared | NonBlocking));
    }

    [PosixCase]
    public void Locks_need_the_right_descriptor_and_a_sensible_range()
    {
        Make("f");
        int read = Open("f", Sys.RdOnly), write = Open("f", Sys.WrOnly);
        Fails(E.BADF, Lock(read, Set, FileLock.Write, 0, 1));
        Fails(E.BADF, Lock(write, Set, FileLock.Read, 0, 1));
        Fails(E.INVAL, Lock(write, Set, FileLock.Write, -1, 1));
        Fails(E.INVAL, Lock(write, Set, 77, 0, 1));
        Must(Lock(write, Set, FileLock.Write, long.MaxValue, 1));
        Fails(E.OVERFLOW, Lock(write, Set, FileLock.Write, long.MaxValue, 2));
    }
}
