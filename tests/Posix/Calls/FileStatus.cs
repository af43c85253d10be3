namespace ZfsLite.Tests.Posix;

/// <summary>What statx says of a file, in the form that cases compare.</summary>
internal sealed record FileStatus(ulong Inode, uint Mode, uint Links, uint Uid, uint Gid, ulong Size, ulong Blocks, FileTime Atime, FileTime Mtime, FileTime Ctime, FileTime? Btime, (uint, uint) Device)
{
    internal const uint TypeMask = 0xF000, Regular = 0x8000, Directory = 0x4000, Link = 0xA000, Fifo = 0x1000, Character = 0x2000, Block = 0x6000, Socket = 0xC000;

    internal uint Type => Mode & TypeMask;

    internal uint Permissions => Mode & 0xFFF;

    /// <summary>The permissions in octal, for messages.</summary>
    internal string Octal => Convert.ToString(Permissions, 8);
}
