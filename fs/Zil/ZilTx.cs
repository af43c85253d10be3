namespace ZfsLite.Fs;

/// <summary>Kinds of intent log records (TX_*), format sheet §8.3.</summary>
internal enum ZilTx : ulong
{
    /// <summary>A file, device, fifo or socket.</summary>
    Create = 1,

    /// <summary>A directory.</summary>
    MakeDirectory = 2,

    /// <summary>The directory of a file's extended attributes.</summary>
    MakeXattr = 3,

    /// <summary>A symbolic link.</summary>
    Symlink = 4,

    /// <summary>A name of anything but a directory goes.</summary>
    Remove = 5,

    /// <summary>An empty directory goes.</summary>
    RemoveDirectory = 6,

    /// <summary>One more name.</summary>
    Link = 7,

    /// <summary>A name moves, over another one if there is one.</summary>
    Rename = 8,

    /// <summary>Contents.</summary>
    Write = 9,

    /// <summary>A range becomes a hole; length 0: the file ends at the offset.</summary>
    Truncate = 10,

    /// <summary>Attributes.</summary>
    SetAttr = 11,

    /// <summary>A write whose data went to disk with its txg: the size alone.</summary>
    Write2 = 20,
}
