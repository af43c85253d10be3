using System.Diagnostics;
using Mono.Unix.Native;
using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>Copies of files that somebody is writing to, and that the kernel has pages of which nobody else has seen.</summary>
public sealed partial class BasicCases
{
    [PosixCase]
    public void A_sparse_file_that_is_open_for_writing_is_copied_whole_and_stays_sparse()
    {
        const long far = 64 << 20;
        byte[] data = Pattern(300_000);
        int fd = OpenFile("f");
        WriteAt(fd, 1000, data);
        WriteAt(fd, far, data);
        Shell("cp --sparse=auto f g && cmp f g && tar --sparse -cf t.tar f && mkdir x && tar -C x -xf t.tar && cmp f x/f");

        // More comes, in the middle and behind the end, and is as little synced.
        WriteAt(fd, far / 2, data);
        WriteAt(fd, far + 500_000, data);
        Shell("cp --sparse=auto f h && cmp f h && sync h t.tar x/f");
        Assert.Equal(far + 500_000 + data.Length, StatOf(At("h")).st_size);
        Assert.InRange(StatOf(At("h")).st_blocks * 512, 4 * data.Length, far / 4);
        Assert.InRange(StatOf(At("x/f")).st_blocks * 512, 2 * data.Length, far / 4);
        Assert.InRange(StatOf(At("t.tar")).st_size, 2 * data.Length, far / 4);
        Syscall.close(fd);
    }

    [PosixCase]
    public void No_seek_passes_over_data_that_is_only_in_the_kernel()
    {
        const long size = 8 << 20;
        int fd = OpenFile("f");
        WriteAt(fd, 0, Pattern(100_000));
        Ok(Syscall.ftruncate(fd, size), "ftruncate");
        Ok(Syscall.fsync(fd), "fsync");

        // An open may have the kernel write out what it has, so not after the writes.
        int other = OpenFile("f", OpenFlags.O_RDONLY);

        // In a hole that is on stable storage as one, and behind its end.
        WriteAt(fd, size / 2, Pattern(10_000));
        WriteAt(fd, size + 70_000, Pattern(10_000));
        foreach (int f in (int[])[fd, other])
        {
            foreach (long from in (long[])[1 << 20, size / 2, size, size + 70_000])
            {
                long data = PosixLibc.Lseek(f, from, PosixLibc.SeekData);
                long most = from <= size / 2 ? size / 2 : size + 70_000;
                Assert.True(data == -1 ? Stdlib.GetLastError() == Errno.EINVAL : data <= most, $"from {from} on data is said to begin at {data}");
                long hole = PosixLibc.Lseek(f, most, PosixLibc.SeekHole);
                Assert.True(hole == -1 ? Stdlib.GetLastError() == Errno.EINVAL : hole >= most + 10_000, $"at {most} a hole is said to begin at {hole}");
            }
        }

        Syscall.close(fd);
        Ok(Syscall.fsync(other), "fsync");

        // Nobody writes any more: now holes are told, and data nowhere else than it is.
        Assert.InRange(PosixLibc.Lseek(other, 1 << 20, PosixLibc.SeekData), (size / 2) - (1 << 20), size / 2);
        Assert.InRange(PosixLibc.Lseek(other, size / 2, PosixLibc.SeekHole), (size / 2) + 10_000, (size / 2) + (1 << 20));
        Assert.Equal(size + 80_000, PosixLibc.Lseek(other, size + 70_000, PosixLibc.SeekHole));
        Syscall.close(other);
    }

    private void Shell(string command)
    {
        var start = new ProcessStartInfo("sh", ["-c", command]) { WorkingDirectory = Work, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{command}: {error}");
    }
}
