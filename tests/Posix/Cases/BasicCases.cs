using System.Text;
using Mono.Unix.Native;
using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>
/// What every file system is for; the other subjects go into each call's errors and limits. This part: names, directories, links, attributes.
/// </summary>
public sealed partial class BasicCases : PosixCases
{
    private const ulong DevNull = 0x103;

    private static void Ok(int result, string what)
    {
        if (result < 0)
        {
            throw new InvalidOperationException($"{what}: {Stdlib.GetLastError()}");
        }
    }

    private static void Fails(Errno expected, int result)
    {
        Errno actual = Stdlib.GetLastError();
        Assert.Equal(-1, result);
        Assert.Equal(expected, actual);
    }

    private static Stat StatOf(string path)
    {
        Ok(Syscall.lstat(path, out Stat stat), "lstat " + path);
        return stat;
    }

    [PosixCase]
    public void A_file_is_created_written_read_and_removed()
    {
        byte[] data = Pattern(300_001);
        File.WriteAllBytes(At("f"), data);
        Assert.Equal(data, File.ReadAllBytes(At("f")));
        Assert.Equal(data.Length, StatOf(At("f")).st_size);
        File.Delete(At("f"));
        Fails(Errno.ENOENT, Syscall.lstat(At("f"), out _));
        Assert.Empty(Directory.GetFileSystemEntries(Work));
    }

    [PosixCase]
    public void Creating_exclusively_twice_gives_EEXIST()
    {
        const OpenFlags flags = OpenFlags.O_CREAT | OpenFlags.O_EXCL | OpenFlags.O_RDWR;
        int fd = Syscall.open(At("f"), flags, FilePermissions.S_IRUSR);
        Ok(fd, "open");
        Syscall.close(fd);
        Fails(Errno.EEXIST, Syscall.open(At("f"), flags, FilePermissions.S_IRUSR));
    }

    [PosixCase]
    public void Names_of_255_bytes_work_and_longer_ones_do_not()
    {
        string longest = new('n', 255);
        File.WriteAllText(At(longest), "x");
        Assert.Equal([At(longest)], Directory.GetFiles(Work));
        Fails(Errno.ENAMETOOLONG, Syscall.lstat(At(longest + "n"), out _));
        string utf8 = "Grüße, 世界";
        File.WriteAllText(At(utf8), "x");
        Assert.Contains(At(utf8), Directory.GetFiles(Work));
    }

    [PosixCase]
    public void Directories_count_their_children_and_refuse_removal_until_empty()
    {
        Assert.Equal(2ul, StatOf(Work).st_nlink);
        Directory.CreateDirectory(At("a/b"));
        Assert.Equal(3ul, StatOf(Work).st_nlink);
        Assert.Equal(3ul, StatOf(At("a")).st_nlink);
        Fails(Errno.ENOTEMPTY, Syscall.rmdir(At("a")));
        Fails(Errno.EEXIST, Syscall.mkdir(At("a"), FilePermissions.ACCESSPERMS));
        Fails(Errno.EISDIR, Syscall.unlink(At("a")));
        Ok(Syscall.rmdir(At("a/b")), "rmdir");
        Ok(Syscall.rmdir(At("a")), "rmdir");
        Assert.Equal(2ul, StatOf(Work).st_nlink);
        File.WriteAllText(At("f"), "x");
        Fails(Errno.ENOTDIR, Syscall.rmdir(At("f")));
        Fails(Errno.ENOTDIR, Syscall.lstat(At("f/g"), out _));
    }

    [PosixCase]
    public void Rename_moves_replaces_and_keeps_the_inode()
    {
        File.WriteAllText(At("a"), "one");
        File.WriteAllText(At("b"), "two");
        Directory.CreateDirectory(At("d"));
        ulong inode = StatOf(At("a")).st_ino;
        Ok(Syscall.rename(At("a"), At("b")), "rename over a file");
        Assert.Equal("one", File.ReadAllText(At("b")));
        Assert.Equal(inode, StatOf(At("b")).st_ino);
        Ok(Syscall.rename(At("b"), At("d/c")), "rename into a directory");
        Assert.Equal(["c"], Directory.GetFiles(At("d")).Select(Path.GetFileName));
        Assert.False(File.Exists(At("a")) || File.Exists(At("b")));
        File.WriteAllText(At("e"), "x");
        Fails(Errno.EISDIR, Syscall.rename(At("e"), At("d")));
        Fails(Errno.ENOTDIR, Syscall.rename(At("d"), At("e")));
    }

    [PosixCase]
    public void Rename_of_directories_moves_their_parent_and_forbids_cycles()
    {
        Directory.CreateDirectory(At("a/sub"));
        Directory.CreateDirectory(At("b"));
        Fails(Errno.EINVAL, Syscall.rename(At("a"), At("a/sub/x")));
        Ok(Syscall.rename(At("a/sub"), At("b/sub")), "rename");
        Assert.Equal(StatOf(At("b")).st_ino, StatOf(At("b/sub/..")).st_ino);
        Assert.Equal((2ul, 3ul), (StatOf(At("a")).st_nlink, StatOf(At("b")).st_nlink));
        Directory.CreateDirectory(At("empty"));
        Ok(Syscall.rename(At("b/sub"), At("empty")), "rename over an empty directory");
        Fails(Errno.ENOTEMPTY, Syscall.rename(At("a"), Work));
    }

    [PosixCase]
    public void Rename_honours_noreplace_and_exchange()
    {
        File.WriteAllText(At("a"), "one");
        Directory.CreateDirectory(At("d"));
        File.WriteAllText(At("d/b"), "two");
        Assert.Equal(-1, PosixLibc.RenameAt2(PosixLibc.AtFdcwd, At("a"), PosixLibc.AtFdcwd, At("d/b"), 1));
        Ok(PosixLibc.RenameAt2(PosixLibc.AtFdcwd, At("a"), PosixLibc.AtFdcwd, At("d/b"), 2), "exchange");
        Assert.Equal(("two", "one"), (File.ReadAllText(At("a")), File.ReadAllText(At("d/b"))));
        Ok(PosixLibc.RenameAt2(PosixLibc.AtFdcwd, At("a"), PosixLibc.AtFdcwd, At("c"), 1), "noreplace");
        Assert.Equal("two", File.ReadAllText(At("c")));
    }

    [PosixCase]
    public void Hard_links_share_content_and_count()
    {
        File.WriteAllText(At("a"), "x");
        Ok(Syscall.link(At("a"), At("b")), "link");
        Assert.Equal((2ul, StatOf(At("a")).st_ino), (StatOf(At("b")).st_nlink, StatOf(At("b")).st_ino));
        File.AppendAllText(At("b"), "y");
        Assert.Equal("xy", File.ReadAllText(At("a")));
        Fails(Errno.EEXIST, Syscall.link(At("a"), At("b")));
        File.Delete(At("a"));
        Assert.Equal(1ul, StatOf(At("b")).st_nlink);
        Assert.Equal("xy", File.ReadAllText(At("b")));
        Fails(Errno.EPERM, Syscall.link(Work, At("dir")));
    }

    [PosixCase]
    public void Symbolic_links_of_any_length_keep_their_target()
    {
        foreach (int length in new[] { 1, 20, 60, 500, 4000 })
        {
            string target = new('t', length);
            Ok(Syscall.symlink(target, At("s" + length)), "symlink");
            var text = new StringBuilder(5000);
            Assert.Equal(length, Syscall.readlink(At("s" + length), text));
            Assert.Equal(target, text.ToString());
            Stat stat = StatOf(At("s" + length));
            Assert.Equal(length, stat.st_size);
            Assert.Equal(FilePermissions.S_IFLNK, stat.st_mode & FilePermissions.S_IFMT);
        }
    }

    [PosixCase]
    public void Special_files_keep_type_and_device()
    {
        Ok(Syscall.mkfifo(At("p"), FilePermissions.S_IRUSR), "mkfifo");
        Ok(Syscall.mknod(At("c"), FilePermissions.S_IFCHR | FilePermissions.S_IRUSR, DevNull), "mknod");
        Assert.Equal(FilePermissions.S_IFIFO, StatOf(At("p")).st_mode & FilePermissions.S_IFMT);
        Stat device = StatOf(At("c"));
        Assert.Equal(FilePermissions.S_IFCHR, device.st_mode & FilePermissions.S_IFMT);
        Assert.Equal(DevNull, device.st_rdev);
    }

    [PosixCase]
    public void Mode_and_owner_change_and_a_change_of_owner_clears_set_id_bits()
    {
        File.WriteAllText(At("f"), "x");
        Ok(Syscall.chmod(At("f"), (FilePermissions)0xDED), "chmod 6755");
        Assert.Equal((FilePermissions)0xDED, StatOf(At("f")).st_mode & (FilePermissions)0xFFF);
        Ok(Syscall.chown(At("f"), 1234, 5678), "chown");
        Stat stat = StatOf(At("f"));
        Assert.Equal((1234u, 5678u), (stat.st_uid, stat.st_gid));
        Assert.Equal((FilePermissions)0x1ED, stat.st_mode & (FilePermissions)0xFFF);
    }

    [PosixCase]
    public void A_set_group_id_directory_hands_its_group_down()
    {
        Ok(Syscall.chown(Work, 0, 4321), "chown");
        Ok(Syscall.chmod(Work, (FilePermissions)0x5ED), "chmod 2755");
        File.WriteAllText(At("f"), "x");
        Directory.CreateDirectory(At("d"));
        Assert.Equal(4321u, StatOf(At("f")).st_gid);
        Assert.Equal(4321u, StatOf(At("d")).st_gid);
        Assert.True(StatOf(At("d")).st_mode.HasFlag(FilePermissions.S_ISGID));
    }

    [PosixCase]
    public void Times_keep_nanoseconds_and_follow_changes()
    {
        File.WriteAllText(At("f"), "x");
        Timespec[] times = [new() { tv_sec = 1_000_000_001, tv_nsec = 123_456_789 }, new() { tv_sec = 1_234_567_890, tv_nsec = 987_654_321 }];
        Ok(Syscall.utimensat(PosixLibc.AtFdcwd, At("f"), times, 0), "utimensat");
        Stat stat = StatOf(At("f"));
        Assert.Equal((1_000_000_001, 123_456_789), (stat.st_atim.tv_sec, stat.st_atim.tv_nsec));
        Assert.Equal((1_234_567_890, 987_654_321), (stat.st_mtim.tv_sec, stat.st_mtim.tv_nsec));
        File.AppendAllText(At("f"), "y");
        Assert.True(StatOf(At("f")).st_mtim.tv_sec > 1_600_000_000);
        Ok(Syscall.utimensat(PosixLibc.AtFdcwd, Work, times, 0), "utimensat");
        File.WriteAllText(At("g"), "x");
        Assert.True(StatOf(Work).st_mtim.tv_sec > 1_600_000_000);
    }

    [PosixCase]
    public void Readdir_lists_5000_entries_once_with_their_inode_numbers()
    {
        for (int i = 0; i < 5000; i++)
        {
            Syscall.close(Syscall.open(At($"entry-{i:D5}"), OpenFlags.O_CREAT | OpenFlags.O_WRONLY, FilePermissions.S_IRUSR));
        }

        IntPtr dir = Syscall.opendir(Work);
        var seen = new Dictionary<string, ulong>();
        while (Syscall.readdir(dir) is { } entry)
        {
            Assert.True(seen.TryAdd(entry.d_name, entry.d_ino), "twice: " + entry.d_name);
        }

        Syscall.closedir(dir);
        Assert.Equal(5002, seen.Count);
        Assert.Equal(StatOf(Work).st_ino, seen["."]);
        Assert.Equal(StatOf(Root).st_ino, seen[".."]);
        for (int i = 0; i < 5000; i += 97)
        {
            Assert.Equal(StatOf(At($"entry-{i:D5}")).st_ino, seen[$"entry-{i:D5}"]);
        }
    }

    [PosixCase]
    public void Removing_while_reading_a_directory_misses_nothing()
    {
        for (int i = 0; i < 3000; i++)
        {
            File.WriteAllText(At($"{i}"), string.Empty);
        }

        IntPtr dir = Syscall.opendir(Work);
        int removed = 0;
        while (Syscall.readdir(dir) is { } entry)
        {
            if (entry.d_name is not ("." or ".."))
            {
                Ok(Syscall.unlink(At(entry.d_name)), "unlink");
                removed++;
            }
        }

        Syscall.closedir(dir);
        Assert.Equal(3000, removed);
        Ok(Syscall.rmdir(Work), "rmdir");
        ForgetWork();
    }

    [PosixCase]
    public void Extended_attributes_are_set_listed_read_and_removed()
    {
        File.WriteAllText(At("f"), "x");
        byte[] value = Pattern(3000);
        Ok(Syscall.setxattr(At("f"), "user.one", value), "setxattr");
        Ok(Syscall.setxattr(At("f"), "user.two", [1, 2]), "setxattr");
        Fails(Errno.EEXIST, Syscall.setxattr(At("f"), "user.one", [1], XattrFlags.XATTR_CREATE));
        Fails(Errno.ENODATA, Syscall.setxattr(At("f"), "user.none", [1], XattrFlags.XATTR_REPLACE));
        Assert.Equal(value.Length, Syscall.getxattr(At("f"), "user.one", out byte[] read));
        Assert.Equal(value, read);
        Syscall.listxattr(At("f"), out string[] names);
        Assert.Equal(["user.one", "user.two"], names.Where(n => n.StartsWith("user.", StringComparison.Ordinal)).Order());
        Ok(Syscall.removexattr(At("f"), "user.one"), "removexattr");
        Fails(Errno.ENODATA, Syscall.removexattr(At("f"), "user.one"));
        Assert.Equal(-1, Syscall.getxattr(At("f"), "user.one", out _));
        Ok(Syscall.setxattr(Work, "user.dir", [3]), "setxattr on a directory");
    }

    [PosixCase]
    public void Statfs_makes_sense()
    {
        Ok(Syscall.statvfs(Root, out Statvfs stat), "statvfs");
        Assert.Equal(255ul, stat.f_namemax);
        Assert.InRange(stat.f_frsize, 512ul, 1ul << 20);
        Assert.True(stat.f_blocks > 0 && stat.f_bavail <= stat.f_bfree && stat.f_bfree <= stat.f_blocks);
    }
}
