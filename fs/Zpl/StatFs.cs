namespace ZfsLite.Fs;

/// <summary>statfs(2).</summary>
public struct StatFs
{
    /// <summary>Block size that the counts are in: 512 (the fragment size); the preferred size is the record size.</summary>
    public uint BlockSize, RecordSize;

    /// <summary>Counts of blocks.</summary>
    public ulong Blocks, BlocksFree, BlocksAvailable;

    /// <summary>Counts of files.</summary>
    public ulong Files, FilesFree;

    /// <summary>Longest name, 255.</summary>
    public uint NameMax;
}
