using System.Buffers.Binary;
using System.Security.Cryptography;

namespace ZfsLite.Fs;

/// <summary>Checksums of stored bytes.</summary>
public static unsafe class ZioChecksum
{
    /// <summary>
    /// The checksum of <paramref name="size"/> bytes (a multiple of 4; of 16 for fletcher2). <paramref name="bigEndian"/>: the
    /// block was written by a big-endian machine (byte-order bit clear). Allocates nothing. Throws ZfsException (EIO) for a
    /// function that no data block can have.
    /// </summary>
    public static Checksum256 Compute(ZioChecksumType type, byte* data, int size, bool bigEndian = false) => type switch
    {
        ZioChecksumType.Fletcher2 => bigEndian ? Fletcher.Fletcher2Scalar(data, size, true) : Fletcher.Fletcher2(data, size),
        ZioChecksumType.Fletcher4 or ZioChecksumType.On or ZioChecksumType.Zilog2 =>
            bigEndian ? Fletcher.Fletcher4Swapped(data, size) : Fletcher.Fletcher4(data, size),
        ZioChecksumType.Sha256 or ZioChecksumType.Label or ZioChecksumType.GangHeader => Sha256(data, size),
        ZioChecksumType.Off => default,
        _ => throw new ZfsException(Errno.EIO, $"checksum function {type} in a block pointer"),
    };

    /// <summary>True if the function is one that a data or metadata block may carry.</summary>
    public static bool IsBlockFunction(ZioChecksumType type) =>
        type is ZioChecksumType.Off or ZioChecksumType.Fletcher2 or ZioChecksumType.Fletcher4 or ZioChecksumType.Sha256;

    /// <summary>SHA-256 as four words: the digest read as big-endian numbers.</summary>
    public static Checksum256 Sha256(byte* data, int size)
    {
        Span<byte> digest = stackalloc byte[32];
        SHA256.HashData(new ReadOnlySpan<byte>(data, size), digest);
        return new Checksum256(
            BinaryPrimitives.ReadUInt64BigEndian(digest),
            BinaryPrimitives.ReadUInt64BigEndian(digest[8..]),
            BinaryPrimitives.ReadUInt64BigEndian(digest[16..]),
            BinaryPrimitives.ReadUInt64BigEndian(digest[24..]));
    }
}
