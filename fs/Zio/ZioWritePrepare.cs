using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>The worker's part of a write: hole detection, compression, checksum.</summary>
internal static unsafe class ZioWritePrepare
{
    /// <summary>On means fletcher4. Throws on what is no function for data.</summary>
    internal static ZioChecksumType Resolve(ZioChecksumType type) => type switch
    {
        ZioChecksumType.On => ZioChecksumType.Fletcher4,
        ZioChecksumType.Off or ZioChecksumType.Fletcher2 or ZioChecksumType.Fletcher4 or ZioChecksumType.Sha256 => type,
        _ => throw new ArgumentException($"{type} is no checksum for data"),
    };

    /// <summary>On means lzjb. Throws on what is no function for data.</summary>
    internal static ZioCompressType Resolve(ZioCompressType type) => type switch
    {
        ZioCompressType.On => ZioCompressType.Lzjb,
        ZioCompressType.Inherit or ZioCompressType.Empty or > ZioCompressType.Zle => throw new ArgumentException($"{type} is no compression for data"),
        _ => type,
    };

    /// <summary>Prepares a block.</summary>
    internal static void Run(ZioWrite zio)
    {
        ZioCompressType compress = Resolve(zio.Compress);
        zio.StoredCompress = ZioCompressType.Off;
        zio.PhysicalSize = zio.LogicalSize;
        int oldSize = RewritableSize(zio);
        if (compress != ZioCompressType.Off)
        {
            if (ZioCompress.IsAllZero(zio.Data, zio.LogicalSize))
            {
                zio.BecameHole = true;
                return;
            }

            // Where an uncompressed version lies, another one fits.
            if (oldSize != zio.LogicalSize)
            {
                TryCompress(zio, compress, oldSize);
            }
        }

        zio.FitsInPlace = zio.PhysicalSize == oldSize;
        byte* data = zio.Scratch != null ? zio.Scratch : zio.Data;
        ZioChecksumType checksum = Resolve(zio.ChecksumType);
        zio.Checksum = checksum == ZioChecksumType.Off ? default : ZioChecksum.Compute(checksum, data, zio.PhysicalSize);
    }

    // Stored size of the earlier version if it can be overwritten at all, else 0.
    private static int RewritableSize(ZioWrite zio)
    {
        if (!zio.HasRewrite)
        {
            return 0;
        }

        Blkptr old = zio.RewriteBp;
        return old.LogicalSize == zio.LogicalSize && old.DvaCount == zio.Copies && !old.IsGang ? old.PhysicalSize : 0;
    }

    private static void TryCompress(ZioWrite zio, ZioCompressType compress, int oldSize)
    {
        byte* scratch = zio.Pipeline!.TakeScratch(zio);
        if (scratch == null)
        {
            return;
        }

        int n = ZioCompress.Compress(compress, zio.Data, zio.LogicalSize, scratch);
        if (n == 0)
        {
            zio.Pipeline!.GiveScratch(zio, scratch);
            return;
        }

        // A version that is smaller than the one it replaces is padded to its size, and so stays in place.
        int size = Math.Max(n, oldSize);
        new Span<byte>(scratch + n, size - n).Clear();
        zio.Scratch = scratch;
        zio.StoredCompress = compress;
        zio.PhysicalSize = size;
    }
}
