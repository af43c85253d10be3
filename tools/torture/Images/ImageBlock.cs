using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>A block of a clean pool, with the way to it: the pointer in its parent that leads here.</summary>
internal sealed class ImageBlock
{
    /// <summary>The block that its pointer lies in; null: the uberblock.</summary>
    internal required ImageBlock? Parent { get; init; }

    /// <summary>Where in the parent.</summary>
    internal required int PointerAt { get; init; }

    /// <summary>The pointer.</summary>
    internal required Blkptr Pointer { get; init; }

    /// <summary>Uncompressed content.</summary>
    internal required byte[] Content { get; init; }

    /// <summary>Steps down from the uberblock.</summary>
    internal int Depth => Parent is null ? 0 : Parent.Depth + 1;

    /// <summary>True if its content is a row of pointers.</summary>
    internal bool IsIndirect => Pointer.Level > 0;

    public override string ToString() => $"{Pointer.Type} L{Pointer.Level} at {Pointer.Dva0.Offset:x}";
}
