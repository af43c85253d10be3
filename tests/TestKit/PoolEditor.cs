using System.Runtime.InteropServices;
using ZfsLite.Fs;

namespace ZfsLite.TestKit;

/// <summary>
/// Changes structures inside a pool image and makes every checksum above them right again, up to the uberblocks: damage that
/// only understanding can find. For pools of one device. A block keeps its place and size; a compressed one is compressed
/// anew and must not grow.
/// </summary>
public sealed unsafe class PoolEditor
{
    private readonly IVdevIo _io;
    private readonly VdevLabelScan _scan;

    /// <summary>Opens an image. The memory system must be there.</summary>
    public PoolEditor(IVdevIo io)
    {
        _io = io;
        _scan = VdevLabel.Scan(io);
    }

    /// <summary>Changes bytes.</summary>
    public delegate void Edit(Span<byte> bytes);

    /// <summary>Where the bonus of a dnode begins.</summary>
    public static int BonusOffset(ReadOnlySpan<byte> dnode) => 64 + (128 * dnode[3]);

    /// <summary>Changes the object set of a dataset (its object number in the MOS; 0 is the MOS).</summary>
    public void EditObjset(ulong dataset, Edit edit) => Apply(Objset(dataset), 0, int.MaxValue, edit);

    /// <summary>Changes the 512 bytes of a dnode.</summary>
    public void EditDnode(ulong dataset, ulong obj, Edit edit)
    {
        List<Level> path = Objset(dataset);
        int at = ToDnode(path, obj);
        Apply(path, at, 512, edit);
    }

    /// <summary>Changes the bonus of an object.</summary>
    public void EditBonus(ulong dataset, ulong obj, Edit edit) => EditDnode(dataset, obj, dn => edit(dn[BonusOffset(dn)..]));

    /// <summary>Adds to a 64-bit number of a bonus.</summary>
    public void AddToBonus(ulong dataset, ulong obj, int offset, long delta) => EditBonus(dataset, obj, bonus =>
    {
        ref ulong field = ref MemoryMarshal.Cast<byte, ulong>(bonus[offset..])[0];
        field += (ulong)delta;
    });

    /// <summary>Changes a data block of an object.</summary>
    public void EditBlock(ulong dataset, ulong obj, ulong block, Edit edit)
    {
        List<Level> path = Objset(dataset);
        ToBlock(path, ToDnode(path, obj), block);
        Apply(path, 0, int.MaxValue, edit);
    }

    /// <summary>Changes the indirect block of some level over a data block of an object.</summary>
    public void EditIndirect(ulong dataset, ulong obj, ulong block, int level, Edit edit)
    {
        List<Level> path = Objset(dataset);
        ToBlock(path, ToDnode(path, obj), block, level);
        Apply(path, 0, int.MaxValue, edit);
    }

    /// <summary>Changes a data block of a dnode that lies in the object set itself (at 1024: users, 1536: groups).</summary>
    public void EditSpecialBlock(ulong dataset, int dnodeOffset, ulong block, Edit edit)
    {
        List<Level> path = Objset(dataset);
        ToBlock(path, dnodeOffset, block);
        Apply(path, 0, int.MaxValue, edit);
    }

    /// <summary>Contents of a dnode.</summary>
    public byte[] ReadDnode(ulong dataset, ulong obj)
    {
        List<Level> path = Objset(dataset);
        int at = ToDnode(path, obj);
        return path[^1].Content.AsSpan(at, 512).ToArray();
    }

    /// <summary>Changes the uberblock in all labels.</summary>
    public void EditUberblock(Func<Uberblock, Uberblock> edit) =>
        _ = VdevLabel.WriteUberblock(_io, (int)_scan.Config!.Tops[0].Ashift, edit(_scan.Best));

    private List<Level> Objset(ulong dataset)
    {
        var path = new List<Level>();
        Down(path, _scan.Best.RootBp, 0);
        if (dataset != 0)
        {
            int at = ToDnode(path, dataset);
            Down(path, at + BonusOffset(path[^1].Content.AsSpan(at)) + 128);
        }

        return path;
    }

    private int ToDnode(List<Level> path, ulong obj)
    {
        ToBlock(path, 0, obj / 32);
        return (int)(obj % 32) * 512;
    }

    private void ToBlock(List<Level> path, int dnodeOffset, ulong block, int stop = 0)
    {
        byte[] dn = path[^1].Content;
        int shift = dn[dnodeOffset + 1] - 7, levels = dn[dnodeOffset + 2];
        Down(path, dnodeOffset + 64 + ((int)(block >> (shift * (levels - 1))) * 128));
        for (int level = levels - 2; level >= stop; level--)
        {
            Down(path, (int)(block >> (shift * level) & ((1UL << shift) - 1)) * 128);
        }
    }

    private void Down(List<Level> path, int bpOffset) =>
        Down(path, MemoryMarshal.Read<Blkptr>(path[^1].Content.AsSpan(bpOffset)), bpOffset);

    private void Down(List<Level> path, in Blkptr bp, int bpOffset)
    {
        if (bp.IsHole)
        {
            throw new InvalidOperationException("the way leads through a hole");
        }

        var content = new byte[bp.LogicalSize];
        VdevConfig top = _scan.Config!.Tops[0];
        var vdev = new Vdev { Id = 0, Guid = top.Guid, Ashift = (int)top.Ashift, Asize = top.Asize, Io = _io };
        fixed (byte* p = content)
        {
            int error = ZioReader.Read([vdev], bp, p);
            if (error != 0)
            {
                throw new InvalidOperationException($"error {error} reading {bp}");
            }
        }

        path.Add(new Level(bp, bpOffset, content));
    }

    private void Apply(List<Level> path, int offset, int length, Edit edit)
    {
        byte[] last = path[^1].Content;
        edit(last.AsSpan(offset, Math.Min(length, last.Length - offset)));
        for (int i = path.Count - 1; i >= 0; i--)
        {
            Blkptr bp = Store(path[i].Bp, path[i].Content);
            if (i > 0)
            {
                MemoryMarshal.Write(path[i - 1].Content.AsSpan(path[i].BpOffset), bp);
            }
            else
            {
                Uberblock ub = _scan.Best;
                ub.RootBp = bp;
                _ = VdevLabel.WriteUberblock(_io, (int)_scan.Config!.Tops[0].Ashift, ub);
                _scan.Best = ub;
            }
        }
    }

    private Blkptr Store(Blkptr bp, byte[] content)
    {
        var stored = new byte[content.Length];
        int psize = bp.PhysicalSize;
        fixed (byte* src = content, dst = stored)
        {
            if (bp.Compress == ZioCompressType.Off)
            {
                content.CopyTo(stored, 0);
            }
            else if (ZioCompress.Compress(bp.Compress, src, content.Length, dst) is var n && (n == 0 || n > psize))
            {
                throw new InvalidOperationException($"the changed block takes {n} bytes, there is room for {psize}");
            }

            bp.Checksum = ZioChecksum.Compute(bp.ChecksumType, dst, psize);
            for (int copy = 0; copy < bp.DvaCount; copy++)
            {
                _ = _io.Write((long)(bp[copy].Offset + Vdev.DataStart), [new IoSegment((nint)dst, psize)]);
            }
        }

        return bp;
    }

    private sealed record Level(Blkptr Bp, int BpOffset, byte[] Content);
}
