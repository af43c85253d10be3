namespace ZfsLite.Fs.Tests;

/// <summary>A file of the model: what a POSIX tree should hold.</summary>
internal sealed class ZplModelNode
{
    internal required ulong Object { get; init; }

    internal required uint Mode { get; set; }

    internal int Links { get; set; }

    internal byte[] Data { get; set; } = [];

    internal string Target { get; init; } = "";

    internal SortedDictionary<string, ZplModelNode>? Entries { get; init; }

    internal ZplModelNode? Parent { get; set; }

    internal SortedDictionary<string, byte[]> Xattrs { get; } = new(StringComparer.Ordinal);

    internal int Opens { get; set; }

    internal bool IsDirectory => Entries is not null;

    internal bool IsFile => (Mode & 0xF000) == 0x8000;

    /// <summary>Is this directory the other one, or above it?</summary>
    internal bool Contains(ZplModelNode other)
    {
        for (ZplModelNode? at = other; at is not null; at = at.Parent)
        {
            if (ReferenceEquals(at, this))
            {
                return true;
            }
        }

        return false;
    }
}
