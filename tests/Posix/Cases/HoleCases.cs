using System.Diagnostics;
using System.Globalization;
using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>
/// SEEK_DATA and SEEK_HOLE on files that somebody writes to, with nothing synced: what was written is data, the rest is not, and the
/// size is the one that fstat tells. Holes are multiples of 128 KiB, for a file system may have none that are smaller.
/// </summary>
public sealed class HoleCases : PosixCases
{
    private const int Block = 131072;
    private const int Blocks = 64;

    private int Sparse(string name = "f", int flags = 0)
    {
        int fd = Open(name, Sys.Creat | Sys.RdWr | flags);
        Must(Sys.Ftruncate(fd, Blocks * Block));
        return fd;
    }

    /// <summary>The data of a file, block by block, as the seeks tell it; they must lead on, and end at the size.</summary>
    private static string Map(int fd)
    {
        long size = (long)Fstat(fd).Size;
        var map = new char[(size + Block - 1) / Block];
        Array.Fill(map, '.');
        long at = 0;
        while (at < size)
        {
            long data = Sys.Lseek(fd, at, Sys.SeekData);
            if (data == -E.NXIO)
            {
                Assert.Equal(at, Sys.Lseek(fd, at, Sys.SeekHole));
                break;
            }

            Assert.InRange(Must(data), at, size - 1);
            long hole = Must(Sys.Lseek(fd, data, Sys.SeekHole));
            Assert.InRange(hole, data + 1, size);
            for (long block = data / Block; block < (hole + Block - 1) / Block; block++)
            {
                map[block] = '#';
            }

            at = hole;
        }

        Fails(E.NXIO, Sys.Lseek(fd, size, Sys.SeekData));
        Fails(E.NXIO, Sys.Lseek(fd, size, Sys.SeekHole));
        return new string(map);
    }

    private static string Expected(int blocks, params int[] data)
    {
        char[] map = new char[blocks];
        Array.Fill(map, '.');
        Array.ForEach(data, b => map[b] = '#');
        return new string(map);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void What_was_just_written_is_data_on_every_handle()
    {
        int fd = Sparse();
        int reader = Open("f", Sys.RdOnly), appender = Open("f", Sys.WrOnly | Sys.Append);
        foreach (int block in (int[])[4, 20, 21, 40])
        {
            WriteAt(fd, (long)block * Block, Pattern(Block));
        }

        foreach (int handle in (int[])[fd, reader, appender])
        {
            Assert.Equal(Expected(Blocks, 4, 20, 21, 40), Map(handle));
            Assert.Equal((20 * Block) + 10, Sys.Lseek(handle, (20 * Block) + 10, Sys.SeekData));
            Assert.Equal(22 * Block, Sys.Lseek(handle, (20 * Block) + 10, Sys.SeekHole));
            Assert.Equal((long)Blocks * Block, Sys.Lseek(handle, 0, 2));
        }

        WriteAt(fd, 60 * Block, Pattern(Block));
        Assert.Equal(Expected(Blocks, 4, 20, 21, 40, 60), Map(reader));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void A_write_behind_the_end_moves_it_for_the_seeks_too()
    {
        int fd = Sparse();
        WriteAt(fd, (80L * Block) + 5, "end"u8);
        Assert.Equal(80 * Block, Sys.Lseek(fd, 0, Sys.SeekData) / Block * Block);
        Assert.Equal((80L * Block) + 8, Sys.Lseek(fd, (80L * Block) + 6, Sys.SeekHole));
        Fails(E.NXIO, Sys.Lseek(fd, (80L * Block) + 8, Sys.SeekData));

        // So does each append, and by what it is.
        int appender = Open("f", Sys.WrOnly | Sys.Append);
        long size = (80L * Block) + 8;
        foreach (int length in (int[])[1, 4095, 4096, 70_000, 3])
        {
            Assert.Equal(length, Sys.Write(appender, Pattern(length)));
            size += length;
            Assert.Equal(size, Sys.Lseek(fd, size - 1, Sys.SeekHole));
            Assert.Equal(size - 1, Sys.Lseek(fd, size - 1, Sys.SeekData));
            Fails(E.NXIO, Sys.Lseek(fd, size, Sys.SeekHole));
        }

        // And far out.
        WriteAt(fd, 1L << 40, "x"u8);
        Assert.Equal((1L << 40) + 1, Sys.Lseek(appender, 1L << 40, Sys.SeekHole));
        Assert.InRange(Sys.Lseek(fd, size + Block, Sys.SeekData), (1L << 40) - Block, 1L << 40);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Truncation_moves_the_end_at_once()
    {
        int fd = Sparse();
        WriteAt(fd, 10 * Block, Pattern(Block));
        WriteAt(fd, 30 * Block, Pattern(Block));
        Must(Sys.Ftruncate(fd, 100L * Block));
        Assert.Equal(Expected(100, 10, 30), Map(fd));
        Must(Sys.Ftruncate(fd, 20L * Block));
        Assert.Equal(Expected(20, 10), Map(fd));
        Fails(E.NXIO, Sys.Lseek(fd, 11 * Block, Sys.SeekData));
        Must(Sys.Ftruncate(fd, 50L * Block));
        Assert.Equal(Expected(50, 10), Map(fd));
        WriteAt(fd, 49 * Block, Pattern(Block));
        Must(Sys.Ftruncate(fd, 10 * Block));
        Assert.Equal(Expected(10), Map(fd));
        Must(Sys.Ftruncate(fd, 0));
        Fails(E.NXIO, Sys.Lseek(fd, 0, Sys.SeekHole));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void What_a_mapping_wrote_into_a_hole_is_data()
    {
        int fd = Sparse();
        using var mapping = new Mapping(fd, Blocks * Block, isShared: true);
        mapping.Write(20 * Block, Pattern(Block));
        Assert.Equal(Expected(Blocks, 20), Map(fd));
        mapping.Write(40 * Block, Pattern(2 * Block));
        WriteAt(fd, 50 * Block, Pattern(Block));
        Assert.Equal(Expected(Blocks, 20, 40, 41, 50), Map(fd));

        // The mapping keeps the file open for writing.
        int reader = Open("f", Sys.RdOnly);
        Close(fd);
        mapping.Write(63 * Block, Pattern(Block));
        Assert.Equal(Expected(Blocks, 20, 40, 41, 50, 63), Map(reader));
        Assert.Equal(Pattern(Block), mapping.Read(20 * Block, Block));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Direct_and_cached_writes_are_data_alike()
    {
        int fd = Sparse(), direct = Open("f", Sys.RdWr | Sys.Direct);
        using var buffer = new AlignedBuffer(Block);
        Pattern(Block).CopyTo(buffer.Span);
        WriteAt(direct, 3 * Block, buffer.Span);
        WriteAt(fd, 5 * Block, Pattern(Block));
        Assert.Equal(Expected(Blocks, 3, 5), Map(direct));
        WriteAt(direct, 80L * Block, buffer.Span);
        Assert.Equal(Expected(81, 3, 5, 80), Map(fd));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Files_without_a_name_tell_their_holes_too()
    {
        int removed = Sparse(), unnamed = Must(Sys.Open(Work, Sys.TmpFile | Sys.RdWr));
        Must(Sys.Unlink(At("f")));
        Must(Sys.Ftruncate(unnamed, Blocks * Block));
        foreach (int fd in (int[])[removed, unnamed])
        {
            WriteAt(fd, 9 * Block, Pattern(Block));
            Assert.Equal(Expected(Blocks, 9), Map(fd));
        }

        Must(Sys.Close(unnamed));
    }

    /// <summary>Without mappings: ext4 may tell pages of a hole that were only mapped as data.</summary>
    [PosixCase(Needs = PosixNeeds.Root)]
    public void Data_and_holes_follow_any_change()
    {
        int fd = Sparse(), reader = Open("f", Sys.RdOnly);
        var random = new Random(7);
        var model = new List<bool>(new bool[Blocks]);
        for (int step = 0; step < 150; step++)
        {
            int block = random.Next(model.Count), count = Math.Min(random.Next(1, 5), model.Count - block);
            switch (random.Next(5))
            {
                case 0:
                    Must(Sys.Fallocate(fd, Sys.PunchHole | Sys.KeepSize, (long)block * Block, (long)count * Block));
                    Fill(false);
                    break;
                case 1:
                    int size = random.Next(4, 2 * Blocks);
                    Must(Sys.Ftruncate(fd, (long)size * Block));
                    model = [.. model.Take(size), .. new bool[Math.Max(0, size - model.Count)]];
                    break;
                case 2:
                    WriteAt(fd, (long)model.Count * Block, Pattern(Block, step));
                    model.Add(true);
                    break;
                default:
                    WriteAt(fd, (long)block * Block, Pattern(count * Block, step));
                    Fill(true);
                    break;
            }

            string expected = Expected(model.Count, [.. Enumerable.Range(0, model.Count).Where(i => model[i])]);
            Assert.Equal((step, expected), (step, Map(step % 2 == 0 ? fd : reader)));

            void Fill(bool isData)
            {
                for (int i = block; i < block + count; i++)
                {
                    model[i] = isData;
                }
            }
        }
    }

    /// <summary>
    /// Writers, a mapping and copies at work on one file while it is asked for its holes: what was there before is told as data
    /// every time, what nobody touches as a hole, and nobody waits for somebody else for ever.
    /// </summary>
    [PosixCase(Needs = PosixNeeds.Root)]
    public void Seeks_beside_writers_and_mappings_neither_miss_data_nor_hang()
    {
        const int millis = 3000;
        int fd = Sparse();
        WriteAt(fd, 8 * Block, Pattern(Block, 8));
        using var mapping = new Mapping(fd, Blocks * Block, isShared: true);
        var clock = Stopwatch.StartNew();
        var errors = new List<Exception>();
        int seeks = 0;
        var threads = new List<Thread>();
        void Run(Action<int> step)
        {
            var thread = new Thread(() =>
            {
                try
                {
                    for (int i = 0; clock.ElapsedMilliseconds < millis; i++)
                    {
                        step(i);
                    }
                }
                catch (Exception e)
                {
                    lock (errors)
                    {
                        errors.Add(e);
                    }
                }
            });
            threads.Add(thread);
            thread.Start();
        }

        byte[] data = Pattern(Block);
        Run(i => WriteAt(fd, (long)(16 + (i % 8)) * Block, data));
        Run(i => mapping.Write((32 + (i % 8)) * Block, data));
        Run(i =>
        {
            WriteAt(fd, (long)(Blocks + (i % 16)) * Block, data);
            if (i % 16 == 15)
            {
                Must(Sys.Ftruncate(fd, Blocks * Block));
            }
        });
        for (int t = 0; t < 3; t++)
        {
            Run(_ =>
            {
                Assert.Equal(8 * Block, Sys.Lseek(fd, 0, Sys.SeekData));
                Assert.Equal(9 * Block, Sys.Lseek(fd, (8 * Block) + 1, Sys.SeekHole));
                Assert.InRange(Sys.Lseek(fd, 9 * Block, Sys.SeekData), 16 * Block, 40 * Block);
                Assert.Equal(48 * Block, Sys.Lseek(fd, 48 * Block, Sys.SeekHole));
                Interlocked.Increment(ref seeks);
            });
        }

        Run(i =>
        {
            string copy = At(string.Create(CultureInfo.InvariantCulture, $"copy{i % 2}"));
            using (Process process = Process.Start("cp", ["--sparse=auto", At("f"), copy]))
            {
                process.WaitForExit();
                Assert.Equal(0, process.ExitCode);
            }

            int copied = Must(Sys.Open(copy, Sys.RdOnly));
            byte[] kept = ReadAt(copied, 8 * Block, Block), hole = ReadAt(copied, 48 * Block, Block);
            Must(Sys.Close(copied));
            Assert.Equal(Pattern(Block, 8), kept);
            Assert.All(hole, static b => Assert.Equal(0, b));
        });

        Assert.All(threads, t => Assert.True(t.Join(millis + 60_000), "somebody hangs"));
        Assert.Empty(errors);
        Assert.True(seeks > 3, $"only {seeks} rounds of seeks");
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Zeros_are_dug_out_of_a_file_by_the_tool_for_it()
    {
        byte[] zeros = new byte[8 * Block];
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        WriteAt(fd, 0, Pattern(Block));
        WriteAt(fd, Block, zeros);
        WriteAt(fd, 9 * Block, Pattern(Block));
        using (Process process = Process.Start("fallocate", ["--dig-holes", At("f")]))
        {
            process.WaitForExit();
            Assert.Equal(0, process.ExitCode);
        }

        Assert.Equal(Expected(10, 0, 9), Map(fd));
        Assert.Equal(Pattern(Block), ReadAt(fd, 9 * Block, Block));
    }
}
