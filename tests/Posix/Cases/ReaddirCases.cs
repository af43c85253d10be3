using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>Reading directories: complete, without doubles, from any position, while others change them.</summary>
public sealed class ReaddirCases : PosixCases
{
    private void Fill(int from, int to)
    {
        for (int i = from; i < to; i++)
        {
            Must(Sys.Close(Must(Sys.Open(At($"name-{i:D5}"), Sys.Creat | Sys.WrOnly))));
        }
    }

    [PosixCase]
    public void Every_entry_tells_its_number_and_type()
    {
        Make("file");
        Must(Sys.Mkdir(At("dir")));
        Must(Sys.Symlink("x", At("link")));
        Must(Sys.Mknod(At("fifo"), FileStatus.Fifo | 0x1A4));
        Must(Sys.Mknod(At("socket"), FileStatus.Socket | 0x1A4));
        List<(byte[] Name, ulong Inode, byte Type)> all = DirectoryStream.All(Work);
        Assert.Equal(7, all.Count);
        foreach ((byte[] name, ulong inode, byte type) in all)
        {
            string text = System.Text.Encoding.UTF8.GetString(name);
            Assert.Equal((text, Stat(text).Inode, (byte)(Stat(text).Type >> 12)), (text, inode, type));
        }
    }

    [PosixCase]
    public void Every_position_leads_back_to_the_same_entry()
    {
        Fill(0, 700);
        using var stream = new DirectoryStream(Work);
        List<(long Position, string Name)> seen = [];
        while (true)
        {
            long position = stream.Position;
            if (stream.NextName() is not { } name)
            {
                break;
            }

            seen.Add((position, name));
        }

        Assert.Equal(702, seen.Select(static s => s.Name).Distinct().Count());
        var random = new Random(3);
        foreach ((long position, string name) in seen.OrderBy(_ => random.Next()).Take(200))
        {
            stream.Position = position;
            Assert.Equal(name, stream.NextName());
        }

        stream.Position = seen[350].Position;
        for (int i = 350; i < seen.Count; i++)
        {
            Assert.Equal(seen[i].Name, stream.NextName());
        }

        Assert.Null(stream.NextName());
    }

    [PosixCase]
    public void What_stays_is_listed_once_while_others_come_and_go()
    {
        Fill(0, 2000);
        using var stream = new DirectoryStream(Work);
        var seen = new Dictionary<string, int>();
        int read = 0, made = 0;
        while (stream.NextName() is { } name)
        {
            seen[name] = seen.GetValueOrDefault(name) + 1;
            if (++read % 10 == 0 && made < 1500)
            {
                // Every tenth entry of the first half goes; others come, and are renamed.
                _ = Sys.Unlink(At($"name-{made / 2:D5}"));
                Must(Sys.Close(Must(Sys.Open(At($"new-{made}"), Sys.Creat | Sys.WrOnly))));
                Must(Sys.Rename(At($"new-{made}"), At($"newer-{made}")));
                made += 10;
            }
        }

        Assert.True(made > 0);
        for (int i = 1000; i < 2000; i++)
        {
            Assert.Equal((i, 1), (i, seen.GetValueOrDefault($"name-{i:D5}")));
        }

        Assert.All(seen, static s => Assert.Equal((s.Key, 1), (s.Key, s.Value)));
    }

    [PosixCase]
    public void A_directory_that_grows_from_few_to_many_while_it_is_read_loses_nothing()
    {
        Fill(0, 60);
        using var stream = new DirectoryStream(Work);
        var seen = new Dictionary<string, int>();
        for (int i = 0; i < 20; i++)
        {
            seen[stream.NextName()!] = 1;
        }

        long position = stream.Position;
        Fill(60, 4000);
        stream.Position = position;
        while (stream.NextName() is { } name)
        {
            seen[name] = seen.GetValueOrDefault(name) + 1;
        }

        for (int i = 0; i < 60; i++)
        {
            Assert.Equal((i, 1), (i, seen.GetValueOrDefault($"name-{i:D5}")));
        }

        Assert.All(seen, static s => Assert.Equal((s.Key, 1), (s.Key, s.Value)));
    }

    [PosixCase]
    public void Rewinding_shows_what_is_there_now()
    {
        Fill(0, 100);
        using var stream = new DirectoryStream(Work);
        while (stream.NextName() is not null)
        {
        }

        Fill(100, 200);
        Must(Sys.Unlink(At("name-00000")));
        stream.Rewind();
        var names = new HashSet<string>();
        while (stream.NextName() is { } name)
        {
            Assert.True(names.Add(name), name);
        }

        Assert.Equal(201, names.Count);
        Assert.DoesNotContain("name-00000", names);
        Assert.Contains("name-00150", names);
    }

    [PosixCase]
    public void Two_readers_do_not_disturb_each_other()
    {
        Fill(0, 500);
        using DirectoryStream a = new(Work), b = new(Work);
        HashSet<string> seenByA = [], seenByB = [];
        for (int i = 0; i < 502; i++)
        {
            Assert.True(seenByA.Add(a.NextName()!));
            if (i % 2 == 0)
            {
                Assert.True(seenByB.Add(b.NextName()!));
            }
        }

        while (b.NextName() is { } name)
        {
            Assert.True(seenByB.Add(name));
        }

        Assert.Null(a.NextName());
        Assert.True(seenByA.SetEquals(seenByB));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void A_position_is_good_after_the_kernel_has_forgotten_the_directory()
    {
        Fill(0, 1000);
        using var stream = new DirectoryStream(Work);
        for (int i = 0; i < 300; i++)
        {
            Assert.NotNull(stream.NextName());
        }

        long position = stream.Position;
        string next = stream.NextName()!;
        if (CanEvict)
        {
            Evict();
        }

        using var other = new DirectoryStream(Work);
        other.Position = position;
        Assert.Equal(next, other.NextName());
    }

    [PosixCase]
    public void A_removed_directory_lists_nothing()
    {
        Must(Sys.Mkdir(At("d")));
        using var stream = new DirectoryStream(At("d"));
        Must(Sys.Rmdir(At("d")));
        Assert.Null(stream.NextName());
    }
}
