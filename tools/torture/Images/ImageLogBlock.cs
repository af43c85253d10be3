using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>A block of an intent log; or what a hostile image makes of it.</summary>
internal sealed class ImageLogBlock
{
    /// <summary>The pointer that leads here.</summary>
    internal required Blkptr Pointer { get; set; }

    /// <summary>Its records, each with its header.</summary>
    internal required List<byte[]> Records { get; init; }

    /// <summary>The pointer to the next one, if it is to be another than that of the next one.</summary>
    internal Blkptr? Next { get; set; }

    /// <summary>How many bytes it says that it uses, if that is not so.</summary>
    internal ulong? Used { get; set; }

    /// <summary>What is written over it at the end, unsealed, as if a sector had not made it.</summary>
    internal int TornAt { get; set; } = -1;

    internal ImageLogBlock Copy() => new() { Pointer = Pointer, Records = Records.ConvertAll(static r => (byte[])r.Clone()) };
}
