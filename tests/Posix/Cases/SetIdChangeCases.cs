using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>Set-id bits through each kind of change, by each kind of person: who loses which, and what leaves them alone.</summary>
public sealed class SetIdChangeCases : PosixCases
{
    private const uint Both = 0xDFF, GroupOnlyMark = 0x5B6; // 06777, 02666
    private const int Owner = 12345, Group = 777;

    private static readonly Person s_owner = new(Owner, Owner), s_member = new(1234, 1234, Group);

    private static readonly (string What, Func<int> Change)[] s_writes =
    [
        ("write", static () => With(Sys.RdWr, static fd => Sys.Write(fd, "x"u8))),
        ("append", static () => With(Sys.WrOnly | Sys.Append, static fd => Sys.Write(fd, "x"u8))),
        ("write behind the end", static () => With(Sys.RdWr, static fd => Sys.Pwrite(fd, "x"u8, 9000))),
        ("allocate", static () => With(Sys.RdWr, static fd => Sys.Fallocate(fd, 0, 0, 100))),
        ("allocate what is there", static () => With(Sys.RdWr, static fd => Sys.Fallocate(fd, 0, 0, 3))),
        ("allocate and keep the size", static () => With(Sys.RdWr, static fd => Sys.Fallocate(fd, Sys.KeepSize, 0, 8000))),
        ("punch", static () => With(Sys.RdWr, static fd => Sys.Fallocate(fd, Sys.PunchHole | Sys.KeepSize, 0, 3))),
        ("zero", static () => With(Sys.RdWr, static fd => Sys.Fallocate(fd, Sys.ZeroRange, 0, 3))),
        ("copy_file_range", static () => With(Sys.RdWr, static fd => With(Sys.RdOnly, from => Sys.CopyFileRange(from, 0, fd, 0, 4), "source"))),
    ];

    private static readonly (string What, Func<int> Change)[] s_cuts =
    [
        ("truncate", static () => Sys.Truncate("f", 3)),
        ("truncate to the same size", static () => Sys.Truncate("f", 7)),
        ("truncate to more", static () => Sys.Truncate("f", 700)),
        ("O_TRUNC", static () => With(Sys.WrOnly | Sys.Trunc, static _ => 0)),
        ("O_CREAT with O_TRUNC", static () => With(Sys.WrOnly | Sys.Trunc | Sys.Creat, static _ => 0)),
        ("write with O_DIRECT", static () => With(Sys.RdWr | Sys.Direct, static fd =>
        {
            using var buffer = new AlignedBuffer(4096);
            buffer.Span.Clear();
            return Sys.Pwrite(fd, buffer.Span, 0);
        })),
    ];

    private static readonly (string What, Func<int> Change)[] s_others =
    [
        ("open for writing", static () => With(Sys.RdWr, static _ => 0)),
        ("read", static () => With(Sys.RdOnly, static fd => Sys.Read(fd, new byte[3]))),
        ("fsync", static () => With(Sys.RdWr, static fd => Sys.Fsync(fd))),
        ("an empty write", static () => With(Sys.RdWr, static fd => Sys.Write(fd, default))),
        ("a mapping", static () => With(Sys.RdWr, static fd =>
        {
            using var mapping = new Mapping(fd, 7, isShared: true);
            mapping.Write(0, "y"u8);
            return 0;
        })),
        ("times", static () => Sys.Touch("f")),
    ];

    private static int With(int flags, Func<int, long> change, string name = "f")
    {
        int fd = Sys.Open(name, flags);
        if (fd < 0)
        {
            return fd;
        }

        long result = change(fd);
        Must(Sys.Close(fd));
        return (int)Math.Min(result, int.MaxValue);
    }

    private void Program(uint mode)
    {
        _ = Sys.Unlink(At("f"));
        Make("f", "program");
        Must(Sys.Chown(At("f"), Owner, Group));
        Must(Sys.Chmod(At("f"), mode));
    }

    private void Check(Person? who, uint mode, string expected, params (string What, Func<int> Change)[] changes)
    {
        Make("source", "source");
        Must(Sys.Chmod(At("source"), 0x1B6));
        foreach ((string what, Func<int> change) in changes)
        {
            Program(mode);
            Must(who is null ? Person.OnThread(Work, change, 0x12) : As(who, change));
            Assert.Equal((what, expected), (what, Stat("f").Octal));
        }
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Every_change_of_content_takes_them_from_whoever_is_not_root()
    {
        foreach (Person who in (Person[])[s_owner, s_member, Person.Nobody])
        {
            Check(who, Both, "777", [.. s_writes, .. s_cuts]);
            Check(who, 0x9FF, "777", [.. s_writes, .. s_cuts]);
            Check(who, 0x5FF, "777", [.. s_writes, .. s_cuts]);
        }
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Root_changes_content_and_leaves_them() => Check(null, Both, "6777", [.. s_writes, .. s_cuts]);

    [PosixCase(Needs = PosixNeeds.Root)]
    public void What_changes_no_content_leaves_them()
    {
        foreach (Person who in (Person[])[s_owner])
        {
            Check(who, Both, "6777", s_others);
        }

        Check(Person.Nobody, Both, "6777", s_others[..^1]);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Set_group_id_without_group_execute_stays_for_members_and_goes_with_strangers_writes()
    {
        Check(s_member, GroupOnlyMark, "2666", [.. s_writes, .. s_cuts]);
        Check(null, GroupOnlyMark, "2666", [.. s_writes, .. s_cuts]);
        Check(Person.Nobody, GroupOnlyMark, "666", s_writes);
        Check(s_owner, GroupOnlyMark, "666", s_writes);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void A_chown_that_changes_nothing_takes_them_too()
    {
        (string, Func<int>) nothing = ("chown(-1, -1)", static () => Sys.Chown("f", uint.MaxValue, uint.MaxValue));
        (string, Func<int>) same = ("chown to the same", static () => Sys.Chown("f", Owner, uint.MaxValue));
        Check(null, Both, "777", nothing, same);
        Check(s_owner, Both, "777", nothing, same);
        Check(null, GroupOnlyMark, "2666", nothing, same);
        Program(Both);
        Fails(E.PERM, As(Person.Nobody, static () => Sys.Chown("f", uint.MaxValue, uint.MaxValue)));
        Assert.Equal("6777", Stat("f").Octal);
        Check(Person.Nobody, 0x1FF, "777", nothing);
        Must(Sys.Mkdir(At("d")));
        Must(Sys.Chmod(At("d"), Both));
        Must(Sys.Chown(At("d"), uint.MaxValue, uint.MaxValue));
        Assert.Equal("6777", Stat("d").Octal);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Renames_and_links_move_them_as_they_are()
    {
        Must(Sys.Chmod(Work, 0x1FF));
        Program(Both);
        Must(Sys.Rename(At("f"), At("g")));
        Must(Sys.Link(At("g"), At("h")));
        Assert.Equal(("6777", "6777"), (Stat("g").Octal, Stat("h").Octal));

        // The one that is replaced keeps its own, and so does the one in its place.
        Program(0x9ED);
        Must(Sys.Rename(At("f"), At("g")));
        Assert.Equal(("4755", "6777"), (Stat("g").Octal, Stat("h").Octal));
        Must(Sys.Rename(At("g"), At("h"), Sys.Exchange));
        Assert.Equal(("6777", "4755"), (Stat("g").Octal, Stat("h").Octal));
        Must(As(Person.Nobody, static () => Sys.Rename("h", "i")));
        Assert.Equal("4755", Stat("i").Octal);
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Files_without_a_name_take_the_group_of_a_set_group_id_directory_too()
    {
        Must(Sys.Chown(Work, 0, Group));
        Must(Sys.Chmod(Work, 0x5FF));
        foreach ((Person who, uint mode, string expected) in ((Person, uint, string)[])
            [(Person.Nobody, 0x1ED, "755"), (Person.Nobody, 0x5ED, "755"), (Person.Nobody, 0x9ED, "4755"), (s_member, 0x5ED, "2755")])
        {
            (uint, string) made = As(who, () =>
            {
                int fd = Must(Sys.Open(".", Sys.TmpFile | Sys.RdWr, mode));
                FileStatus status = Fstat(fd);
                Must(Sys.Close(fd));
                return (status.Gid, status.Octal);
            });
            Assert.Equal(((uint)Group, expected), made);
        }
    }
}
