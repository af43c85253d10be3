using Mono.Unix.Native;
using Xunit;

namespace ZfsLite.Tests.Posix;

/// <content>Data: offsets, holes, truncation, appending, mapping, several threads.</content>
public sealed partial class BasicCases
{
    private int OpenFile(string name, OpenFlags flags = OpenFlags.O_RDWR | OpenFlags.O_CREAT)
    {
        int fd = Syscall.open(At(name), flags, (FilePermissions)0x1A4);
        Ok(fd, "open " + name);
        return fd;
    }

    [PosixCase]
    public void Writes_at_odd_offsets_land_where_they_belong()
    {
        byte[] model = new byte[2_000_000];
        int fd = OpenFile("f");
        var random = new Random(7);
        for (int i = 0; i < 300; i++)
        {
            int length = random.Next(1, i % 10 == 0 ? 400_000 : 9000);
            int offset = random.Next(0, model.Length - length);
            byte[] data = Pattern(length, i);
            WriteAt(fd, offset, data);
            data.CopyTo(model, offset);
        }

        WriteAt(fd, model.Length - 1, model.AsSpan(model.Length - 1));
        Assert.Equal(model, ReadAt(fd, 0, model.Length + 10));
        Ok(Syscall.fsync(fd), "fsync");
        Syscall.close(fd);
        Assert.Equal(model, File.ReadAllBytes(At("f")));
    }

    [PosixCase]
    public void Direct_io_reads_what_cached_io_wrote_and_the_other_way_round()
    {
        byte[] data = Pattern(1 << 20);
        File.WriteAllBytes(At("f"), data);
        int fd = OpenFile("f", OpenFlags.O_RDWR | OpenFlags.O_DIRECT);
        byte[] changed = Pattern(8192, 9);
        unsafe
        {
            byte* aligned = (byte*)System.Runtime.InteropServices.NativeMemory.AlignedAlloc(1 << 20, 4096);
            Assert.Equal(1 << 20, Syscall.pread(fd, aligned, 1 << 20, 0));
            Assert.True(new ReadOnlySpan<byte>(aligned, 1 << 20).SequenceEqual(data));
            changed.CopyTo(new Span<byte>(aligned, 8192));
            Assert.Equal(8192, Syscall.pwrite(fd, aligned, 8192, 131072 - 4096));
            System.Runtime.InteropServices.NativeMemory.AlignedFree(aligned);
        }

        Syscall.close(fd);
        changed.CopyTo(data, 131072 - 4096);
        Assert.Equal(data, File.ReadAllBytes(At("f")));
    }

    [PosixCase]
    public void Sparse_files_read_zeros_and_tell_their_holes()
    {
        const long far = 1L << 32;
        int fd = OpenFile("f");
        WriteAt(fd, far, "end"u8);
        Assert.Equal(far + 3, StatOf(At("f")).st_size);
        Assert.All(ReadAt(fd, far - 5000, 5000), b => Assert.Equal(0, b));
        Ok(Syscall.fsync(fd), "fsync");
        Syscall.close(fd);
        Assert.True(StatOf(At("f")).st_blocks < 10_000);

        fd = OpenFile("f", OpenFlags.O_RDONLY);

        // The first block may be stored, as its size was settled by the first write.
        long hole = PosixLibc.Lseek(fd, 0, PosixLibc.SeekHole);
        Assert.InRange(hole, 0, 1 << 20);
        Assert.InRange(PosixLibc.Lseek(fd, hole, PosixLibc.SeekData), far - (1 << 20), far);
        Assert.Equal(far + 3, PosixLibc.Lseek(fd, far, PosixLibc.SeekHole));
        Assert.Equal(-1, PosixLibc.Lseek(fd, far + 3, PosixLibc.SeekData));
        Syscall.close(fd);
    }

    [PosixCase]
    public void Data_not_yet_written_back_is_never_told_as_a_hole()
    {
        int fd = OpenFile("f");
        WriteAt(fd, 1 << 20, Pattern(4096));
        long data = PosixLibc.Lseek(fd, 0, PosixLibc.SeekData);
        Assert.True(data <= 1 << 20, $"data is said to begin at {data}");
        Assert.False(data == -1 && Stdlib.GetLastError() == Errno.ENXIO, "the data is said not to be there");
        Syscall.close(fd);
    }

    [PosixCase]
    public void Truncation_cuts_and_extends_with_zeros()
    {
        byte[] data = Pattern(500_000);
        File.WriteAllBytes(At("f"), data);
        Ok(Syscall.truncate(At("f"), 200_001), "truncate");
        Assert.Equal(data[..200_001], File.ReadAllBytes(At("f")));
        Ok(Syscall.truncate(At("f"), 400_000), "truncate");
        byte[] read = File.ReadAllBytes(At("f"));
        Assert.Equal(data[..200_001], read[..200_001]);
        Assert.All(read[200_001..], b => Assert.Equal(0, b));
        Ok(Syscall.truncate(At("f"), 0), "truncate");
        Assert.Empty(File.ReadAllBytes(At("f")));
        Fails(Errno.EISDIR, Syscall.truncate(Work, 0));
    }

    [PosixCase]
    public void Opening_with_O_TRUNC_empties_the_file()
    {
        File.WriteAllBytes(At("f"), Pattern(300_000));
        Syscall.close(OpenFile("f", OpenFlags.O_WRONLY | OpenFlags.O_TRUNC));
        Assert.Equal(0, StatOf(At("f")).st_size);
        Assert.Empty(File.ReadAllBytes(At("f")));
    }

    [PosixCase]
    public void Appends_of_several_handles_and_threads_lose_nothing()
    {
        const int threads = 4, each = 200, length = 64;
        Syscall.close(OpenFile("f"));
        Task[] tasks = [.. Enumerable.Range(0, threads).Select(t => Task.Run(() =>
        {
            int fd = OpenFile("f", OpenFlags.O_WRONLY | OpenFlags.O_CREAT | OpenFlags.O_APPEND);
            byte[] line = [.. Enumerable.Repeat((byte)('a' + t), length)];
            for (int i = 0; i < each; i++)
            {
                unsafe
                {
                    fixed (byte* p = line)
                    {
                        Assert.Equal(length, Syscall.write(fd, p, length));
                    }
                }
            }

            Syscall.close(fd);
        }))];
        Task.WaitAll(tasks);
        byte[] all = File.ReadAllBytes(At("f"));
        Assert.Equal(threads * each * length, all.Length);
        for (int i = 0; i < all.Length; i += length)
        {
            Assert.True(all.AsSpan(i, length).IndexOfAnyExcept(all[i]) < 0, $"line at {i} is torn");
        }

        Assert.All(Enumerable.Range(0, threads), t => Assert.Equal(each * length, all.Count(b => b == 'a' + t)));
    }

    [PosixCase]
    public void A_partial_page_written_through_a_write_only_handle_keeps_its_surroundings()
    {
        byte[] data = Pattern(10_000);
        File.WriteAllBytes(At("f"), data);
        int fd = OpenFile("f", OpenFlags.O_WRONLY);
        WriteAt(fd, 4500, "hello"u8);
        Syscall.close(fd);
        "hello"u8.CopyTo(data.AsSpan(4500));
        Assert.Equal(data, File.ReadAllBytes(At("f")));
    }

    [PosixCase]
    public void A_shared_mapping_reads_and_writes_the_file()
    {
        byte[] data = Pattern(300_000);
        File.WriteAllBytes(At("f"), data);
        int fd = OpenFile("f");
        unsafe
        {
            IntPtr map = Syscall.mmap(IntPtr.Zero, 300_000, MmapProts.PROT_READ | MmapProts.PROT_WRITE, MmapFlags.MAP_SHARED, fd, 0);
            Assert.NotEqual(new IntPtr(-1), map);
            byte[] seen = new byte[data.Length];
            byte changed = (byte)~data[200_000];
            fixed (byte* p = seen)
            {
                PosixLibc.MemCopy(p, (void*)map, (nuint)seen.Length);
                PosixLibc.MemCopy((byte*)map + 200_000, &changed, 1);
            }

            Assert.Equal(data, seen);
            Ok(Syscall.msync(map, 300_000, MsyncFlags.MS_SYNC), "msync");
            Ok(Syscall.munmap(map, 300_000), "munmap");
        }

        Syscall.close(fd);
        data[200_000] = (byte)~data[200_000];
        Assert.Equal(data, File.ReadAllBytes(At("f")));
    }

    [PosixCase]
    public void An_unlinked_file_lives_until_its_last_handle_is_closed()
    {
        byte[] data = Pattern(200_000);
        int fd = OpenFile("f");
        WriteAt(fd, 0, data);
        Ok(Syscall.unlink(At("f")), "unlink");
        Assert.Empty(Directory.GetFileSystemEntries(Work));
        WriteAt(fd, 200_000, "more"u8);
        Ok(Syscall.fstat(fd, out Stat stat), "fstat");
        Assert.Equal((0ul, 200_004), (stat.st_nlink, stat.st_size));
        Assert.Equal(data, ReadAt(fd, 0, 200_000));
        Ok(Syscall.fsync(fd), "fsync");
        Ok(Syscall.close(fd), "close");
    }

    [PosixCase]
    public void A_file_replaced_by_rename_lives_until_its_last_handle_is_closed()
    {
        File.WriteAllText(At("old"), "old");
        File.WriteAllText(At("new"), "new");
        int fd = OpenFile("old", OpenFlags.O_RDONLY);
        Ok(Syscall.rename(At("new"), At("old")), "rename");
        Assert.Equal("old"u8.ToArray(), ReadAt(fd, 0, 10));
        Syscall.close(fd);
        Assert.Equal("new", File.ReadAllText(At("old")));
    }

    [PosixCase]
    public void Punching_a_hole_zeroes_just_that_range()
    {
        byte[] data = Pattern(600_000);
        File.WriteAllBytes(At("f"), data);
        int fd = OpenFile("f");
        Ok(PosixLibc.Fallocate(fd, 3, 100_000, 300_000), "punch hole");
        data.AsSpan(100_000, 300_000).Clear();
        Assert.Equal(data, ReadAt(fd, 0, 700_000));
        Ok(PosixLibc.Fallocate(fd, 0, 0, 800_000), "fallocate");
        Ok(Syscall.fstat(fd, out Stat stat), "fstat");
        Assert.Equal(800_000, stat.st_size);
        Syscall.close(fd);
    }

    [PosixCase]
    public void Threads_that_create_write_rename_and_remove_do_not_disturb_each_other()
    {
        string dir = Work;
        Task[] tasks = [.. Enumerable.Range(0, 4).Select(t => Task.Run(() =>
        {
            for (int i = 0; i < 60; i++)
            {
                string name = Path.Combine(dir, $"t{t}-{i}");
                byte[] data = Pattern(1 + (i * 977), (t * 1000) + i);
                File.WriteAllBytes(name, data);
                File.Move(name, name + ".moved");
                Assert.Equal(data, File.ReadAllBytes(name + ".moved"));
                if (i % 3 == 0)
                {
                    File.Delete(name + ".moved");
                }
            }
        }))];
        Task.WaitAll(tasks);
        Assert.Equal(4 * 40, Directory.GetFiles(dir).Length);
    }
}
