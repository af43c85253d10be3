namespace ZfsLite.Torture;

/// <summary>A file as the model knows it.</summary>
internal sealed class CrashFile
{
    internal required ulong Object { get; init; }

    /// <summary>st_mode with the type.</summary>
    internal uint Mode { get; set; }

    internal bool IsDirectory => (Mode & 0xF000) == 0x4000;

    internal bool IsRegular => (Mode & 0xF000) == 0x8000;

    /// <summary>Contents of a regular file, target of a symbolic link.</summary>
    internal byte[] Data { get; set; } = [];

    /// <summary>Names it has.</summary>
    internal int Links { get; set; }

    /// <summary>The last step that changed it: its contents, its attributes, its names, or, of a directory, its entries.</summary>
    internal int LastStep { get; set; }

    /// <summary>It is held open.</summary>
    internal bool IsOpen { get; set; }

    /// <summary>A directory's entries.</summary>
    internal SortedDictionary<string, CrashFile> Entries { get; } = new(StringComparer.Ordinal);

    /// <summary>The directory that a directory lies in.</summary>
    internal CrashFile? Parent { get; set; }

    /// <summary>Extended attributes: hashes of their values.</summary>
    internal SortedDictionary<string, ulong> Xattrs { get; } = new(StringComparer.Ordinal);

    internal bool IsWithin(CrashFile dir)
    {
        for (CrashFile? at = this; at is not null; at = at.Parent)
        {
            if (ReferenceEquals(at, dir))
            {
                return true;
            }
        }

        return false;
    }
}
