using System.Text;
using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>Extended attributes: namespaces, sizes, flags, lists. ext4 needs its feature ea_inode for values above a block.</summary>
public sealed class XattrCases : PosixCases
{
    private const int Create = 1, Replace = 2;

    /// <summary>The names that a file's list has, without those that a security module adds.</summary>
    internal static string[] List(string path)
    {
        byte[] list = new byte[65536];
        int n = Must(Sys.ListXattr(path, list));
        return [.. Encoding.UTF8.GetString(list, 0, n).Split('\0', StringSplitOptions.RemoveEmptyEntries).Where(static s => s != "security.selinux").Order(StringComparer.Ordinal)];
    }

    private byte[] Get(string name, string attribute)
    {
        byte[] value = new byte[65536];
        return value[..Must(Sys.GetXattr(At(name), attribute, value))];
    }

    [PosixCase]
    public void Values_of_every_size_up_to_64_KiB_are_kept()
    {
        Make("f");
        int[] sizes = [0, 1, 2, 255, 256, 511, 512, 513, 4000, 4096, 16384, 40_000, 65535, 65536];
        foreach (int size in sizes)
        {
            Must(Sys.SetXattr(At("f"), "user.v", Pattern(size)));
            Assert.Equal(size, Sys.GetXattr(At("f"), "user.v", default));
            Assert.Equal(Pattern(size), Get("f", "user.v"));
        }

        foreach (int size in sizes.Reverse())
        {
            Must(Sys.SetXattr(At("f"), "user.v", Pattern(size, 2)));
            Assert.Equal(Pattern(size, 2), Get("f", "user.v"));
        }

        Fails(E.TOOBIG, Sys.SetXattr(At("f"), "user.v", new byte[65537]));
        Assert.Equal([], Get("f", "user.v"));
    }

    [PosixCase]
    public void Create_and_replace_say_what_must_be()
    {
        Make("f");
        Fails(E.NODATA, Sys.SetXattr(At("f"), "user.a", "1"u8, Replace));
        Must(Sys.SetXattr(At("f"), "user.a", "1"u8, Create));
        Fails(E.EXIST, Sys.SetXattr(At("f"), "user.a", "2"u8, Create));
        Assert.Equal(Bytes("1"), Get("f", "user.a"));
        Must(Sys.SetXattr(At("f"), "user.a", "3"u8, Replace));
        Assert.Equal(Bytes("3"), Get("f", "user.a"));
        Fails(E.EXIST, Sys.SetXattr(At("f"), "user.a", "4"u8, Create | Replace));
        Fails(E.NODATA, Sys.SetXattr(At("f"), "user.b", "4"u8, Create | Replace));
        Fails(E.INVAL, Sys.SetXattr(At("f"), "user.a", "4"u8, 4));
        Assert.Equal(["user.a"], List(At("f")));
    }

    [PosixCase]
    public void A_buffer_too_small_is_ERANGE()
    {
        Make("f");
        Must(Sys.SetXattr(At("f"), "user.a", "12345"u8));
        Fails(E.RANGE, Sys.GetXattr(At("f"), "user.a", new byte[4]));
        Assert.Equal(5, Sys.GetXattr(At("f"), "user.a", new byte[5]));
        Fails(E.RANGE, Sys.ListXattr(At("f"), new byte[3]));
        Assert.True(Sys.ListXattr(At("f"), default) >= 7);
    }

    [PosixCase]
    public void What_is_not_there_is_ENODATA()
    {
        Make("f");
        Fails(E.NODATA, Sys.GetXattr(At("f"), "user.a", default));
        Fails(E.NODATA, Sys.RemoveXattr(At("f"), "user.a"));
        Must(Sys.SetXattr(At("f"), "user.b", "1"u8));
        Fails(E.NODATA, Sys.GetXattr(At("f"), "user.a", default));
        Fails(E.NODATA, Sys.RemoveXattr(At("f"), "user.a"));
        Must(Sys.RemoveXattr(At("f"), "user.b"));
        Assert.Empty(List(At("f")));
    }

    [PosixCase]
    public void Names_have_up_to_255_bytes_and_a_namespace()
    {
        Make("f");
        string longest = "user." + new string('n', 250);
        Must(Sys.SetXattr(At("f"), longest, "v"u8));
        Assert.Equal([longest], List(At("f")));
        Assert.Equal(Bytes("v"), Get("f", longest));
        Fails(E.RANGE, Sys.SetXattr(At("f"), longest + "n", "v"u8));
        Fails(E.RANGE, Sys.SetXattr(At("f"), string.Empty, "v"u8));
        Fails(E.INVAL, Sys.SetXattr(At("f"), "user.", "v"u8));
        Fails(E.OPNOTSUPP, Sys.SetXattr(At("f"), "nothing", "v"u8));
        Fails(E.OPNOTSUPP, Sys.SetXattr(At("f"), "unknown.a", "v"u8));
        Fails(E.OPNOTSUPP, Sys.GetXattr(At("f"), "unknown.a", default));
        Fails(E.OPNOTSUPP, Sys.RemoveXattr(At("f"), "unknown.a"));
        Fails(E.OPNOTSUPP, Sys.SetXattr(At("f"), "system.unknown", "v"u8));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void The_namespaces_are_apart()
    {
        Make("f");
        string[] names = ["security.x", "trusted.x", "user.X", "user.x"];
        foreach (string name in names)
        {
            Must(Sys.SetXattr(At("f"), name, Bytes(name)));
        }

        Assert.Equal(names, List(At("f")));
        Assert.All(names, n => Assert.Equal(Bytes(n), Get("f", n)));
        Must(Sys.RemoveXattr(At("f"), "trusted.x"));
        Assert.Equal(["security.x", "user.X", "user.x"], List(At("f")));
    }

    [PosixCase(Needs = PosixNeeds.Root)]
    public void Only_files_and_directories_have_those_of_users()
    {
        Must(Sys.Mkdir(At("d")));
        Must(Sys.Symlink("none", At("l")));
        Must(Sys.Mknod(At("p"), FileStatus.Fifo | 0x1A4));
        Must(Sys.SetXattr(At("d"), "user.a", "v"u8));
        foreach (string name in (string[])["l", "p"])
        {
            Fails(E.PERM, Sys.SetXattr(At(name), "user.a", "v"u8));
            Fails(E.NODATA, Sys.GetXattr(At(name), "user.a", default));
            Must(Sys.SetXattr(At(name), "trusted.a", "v"u8));
            Assert.Equal(Bytes("v"), Get(name, "trusted.a"));
        }

        Must(Sys.ReadLink(At("l"), out string target));
        Assert.Equal("none", target);
    }

    [PosixCase]
    public void Fifty_of_them_are_all_listed()
    {
        Make("f");
        string[] names = [.. Enumerable.Range(0, 50).Select(static i => $"user.name-{i:D3}")];
        foreach (string name in names)
        {
            Must(Sys.SetXattr(At("f"), name, Bytes(name)));
        }

        Assert.Equal(names, List(At("f")));
        Assert.Equal(names.Sum(static n => n.Length + 1), Sys.ListXattr(At("f"), default));
        foreach (string name in names.Where(static (_, i) => i % 2 == 0))
        {
            Must(Sys.RemoveXattr(At("f"), name));
        }

        Assert.Equal(names.Where(static (_, i) => i % 2 == 1), List(At("f")));
        Assert.Equal(Bytes("user.name-049"), Get("f", "user.name-049"));
    }

    [PosixCase]
    public void They_belong_to_the_file_whatever_it_is_called()
    {
        Make("f");
        Must(Sys.SetXattr(At("f"), "user.a", "v"u8));
        Must(Sys.Link(At("f"), At("g")));
        Must(Sys.Rename(At("f"), At("h")));
        Must(Sys.SetXattr(At("g"), "user.b", "w"u8));
        Assert.Equal(["user.a", "user.b"], List(At("h")));
        Must(Sys.Truncate(At("h"), 0));
        Assert.Equal(["user.a", "user.b"], List(At("g")));
        Must(Sys.Unlink(At("g")));
        Must(Sys.Unlink(At("h")));
        for (int i = 0; i < 20; i++)
        {
            Make($"n{i}");
            Assert.Empty(List(At($"n{i}")));
        }
    }

    [PosixCase(Needs = PosixNeeds.Remount | PosixNeeds.Root)]
    public void They_are_there_after_a_remount()
    {
        Make("f");
        Must(Sys.Mkdir(At("d")));
        byte[] large = Pattern(50_000);
        Must(Sys.SetXattr(At("f"), "user.large", large));
        Must(Sys.SetXattr(At("f"), "user.empty", default));
        Must(Sys.SetXattr(At("d"), "trusted.t", "t"u8));
        Remount();
        Assert.Equal(["user.empty", "user.large"], List(At("f")));
        Assert.Equal(large, Get("f", "user.large"));
        Assert.Equal([], Get("f", "user.empty"));
        Assert.Equal(Bytes("t"), Get("d", "trusted.t"));
    }

    /// <summary>
    /// On disk, ZFS has NFSv4 access control lists; a POSIX one kept as an attribute next to them would be unknown to every
    /// other implementation, and so grant or deny there what it does not here. The mode alone is kept in the list, and said.
    /// </summary>
    [PosixCase(Except = FileSystemKind.Ext4 | FileSystemKind.Other, Why = "they have POSIX ACLs")]
    public void Posix_access_control_lists_are_not_supported_and_say_so()
    {
        byte[] acl = [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255];
        Must(Sys.Mkdir(At("d")));
        foreach (string name in (string[])["system.posix_acl_access", "system.posix_acl_default"])
        {
            Fails(E.OPNOTSUPP, Sys.SetXattr(At("d"), name, acl));
            Fails(E.OPNOTSUPP, Sys.GetXattr(At("d"), name, default));
        }

        Assert.Empty(List(At("d")));
    }

    [PosixCase(Except = FileSystemKind.ZfsLite, Why = "ZfsLite has no POSIX ACLs, and says EOPNOTSUPP")]
    public void A_posix_access_control_list_that_says_the_mode_becomes_it()
    {
        byte[] acl = [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255];
        Make("f");
        Must(Sys.SetXattr(At("f"), "system.posix_acl_access", acl));
        Assert.Equal("640", Stat("f").Octal);
    }
}
