using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>The intent log of a file system in a clean pool.</summary>
internal sealed class ImageLog
{
    /// <summary>Where in an object set the head of its log lies.</summary>
    internal const int HeaderAt = 512;

    /// <summary>The object set.</summary>
    internal required ImageBlock Owner { get; init; }

    /// <summary>The blocks that were written, in the order of the chain.</summary>
    internal required IReadOnlyList<ImageLogBlock> Blocks { get; init; }

    /// <summary>Where the last of them points: a block that was never written.</summary>
    internal required Blkptr End { get; init; }

    public override string ToString() => $"log of {Owner}";
}
