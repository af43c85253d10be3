namespace ZfsLite.Fs;

/// <summary>
/// Checksums that lie inside the bytes they cover (zio_eck): 40 bytes, a magic number and the sum. While the sum is computed
/// its place holds a verifier, which ties the bytes to where (or in which chain) they belong. Labels, uberblocks and gang
/// headers carry it in their last 40 bytes, blocks of the intent log at byte 144.
/// </summary>
public static unsafe class ZioEck
{
    /// <summary>Bytes of the trailer.</summary>
    public const int SizeOf = 40;

    /// <summary>Its magic number.</summary>
    public const ulong Magic = 0x0210da7ab10c7a11;

    /// <summary>Seals an area whose trailer is its last 40 bytes, with SHA-256.</summary>
    public static void Seal(byte* area, int size, in Checksum256 verifier) =>
        Seal(ZioChecksumType.Label, area, size, size - SizeOf, verifier);

    /// <summary>Writes magic and checksum at <paramref name="eckOffset"/>, over <paramref name="size"/> bytes.</summary>
    public static void Seal(ZioChecksumType type, byte* area, int size, int eckOffset, in Checksum256 verifier)
    {
        *(ulong*)(area + eckOffset) = Magic;
        var stored = (Checksum256*)(area + eckOffset + 8);
        *stored = verifier;
        *stored = ZioChecksum.Compute(type, area, size);
    }

    /// <summary>True if an area whose trailer is its last 40 bytes is whole and belongs here (SHA-256).</summary>
    public static bool Verify(byte* area, int size, in Checksum256 verifier) =>
        Verify(ZioChecksumType.Label, area, size, size - SizeOf, verifier);

    /// <summary>True if magic and checksum are right. The area is changed meanwhile and restored: it must be the caller's own.</summary>
    public static bool Verify(ZioChecksumType type, byte* area, int size, int eckOffset, in Checksum256 verifier)
    {
        if (*(ulong*)(area + eckOffset) != Magic)
        {
            return false;
        }

        var place = (Checksum256*)(area + eckOffset + 8);
        Checksum256 stored = *place;
        *place = verifier;
        Checksum256 actual = ZioChecksum.Compute(type, area, size);
        *place = stored;
        return actual.Equals(stored);
    }

    /// <summary>Verifier of a label area or uberblock: its byte offset on the leaf device.</summary>
    public static Checksum256 LabelVerifier(long offset) => new((ulong)offset, 0, 0, 0);

    /// <summary>Verifier of a gang header: vdev, byte offset and birth of the block's first copy.</summary>
    public static Checksum256 GangVerifier(in Blkptr bp) => new(bp.Dva0.Vdev, bp.Dva0.Offset, bp.PhysicalBirth, 0);
}
