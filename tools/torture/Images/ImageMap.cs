using System.Runtime.InteropServices;
using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>
/// A clean pool and all its blocks but for the contents of files, found by following every pointer down from the uberblock. Made
/// once; images are made from it by <see cref="ImageMutator"/>. Making it needs a memory system, using it does not.
/// </summary>
internal sealed unsafe class ImageMap
{
    private const int BlocksMax = 20_000;
    private const int UserUsedAt = 1024;
    private const int GroupUsedAt = 1536;
    private const int DatasetPointerAt = 128;

    private readonly List<ImageBlock> _blocks = [];
    private readonly List<(Blkptr First, ulong Objset)> _logs = [];
    private readonly Vdev[] _vdevs;

    internal ImageMap(string name, MemoryVdevIo disk)
    {
        Name = name;
        Disk = disk;
        VdevLabelScan scan = VdevLabel.Scan(disk);
        VdevConfig top = scan.Config!.Tops[0];
        Uberblock = scan.Best;
        Ashift = (int)top.Ashift;
        Asize = top.Asize;
        Label = scan.ConfigList!.Pack();
        _vdevs = [new Vdev { Id = 0, Guid = top.Guid, Ashift = Ashift, Asize = top.Asize, Io = disk }];
        if (Down(null, Uberblock.RootBp, 0) is { } mos)
        {
            WalkObjset(mos, 0);
        }
    }

    internal string Name { get; }

    internal MemoryVdevIo Disk { get; }

    internal Uberblock Uberblock { get; }

    internal int Ashift { get; }

    internal ulong Asize { get; }

    /// <summary>The configuration in the labels, packed.</summary>
    internal byte[] Label { get; }

    /// <summary>Every block.</summary>
    internal IReadOnlyList<ImageBlock> Blocks => _blocks;

    /// <summary>First pointers of the intent logs, and whose they are.</summary>
    internal IReadOnlyList<(Blkptr First, ulong Objset)> Logs => _logs;

    private ImageBlock? Down(ImageBlock? parent, in Blkptr bp, int pointerAt)
    {
        if (bp.IsHole || _blocks.Count >= BlocksMax || (bp.Level == 0 && bp.Type == DmuOt.PlainFileContents))
        {
            return null;
        }

        var content = new byte[bp.LogicalSize];
        fixed (byte* p = content)
        {
            if (ZioReader.Read(_vdevs, bp, p) is var error && error != 0)
            {
                throw new ZfsException(error, $"{Name} is not clean: {bp} can't be read");
            }
        }

        var block = new ImageBlock { Parent = parent, PointerAt = pointerAt, Pointer = bp, Content = content };
        _blocks.Add(block);
        return block;
    }

    private void WalkObjset(ImageBlock block, ulong objset)
    {
        ObjsetPhys phys = MemoryMarshal.Read<ObjsetPhys>(block.Content.AsSpan().Length < ObjsetPhys.SizeOf
            ? [.. block.Content, .. new byte[ObjsetPhys.SizeOf - block.Content.Length]]
            : block.Content);
        if (!phys.ZilHeader.Log.IsHole)
        {
            _logs.Add((phys.ZilHeader.Log, objset));
        }

        WalkDnode(block, 0, objset);
        if (block.Content.Length >= ObjsetPhys.SizeOf)
        {
            WalkDnode(block, UserUsedAt, objset);
            WalkDnode(block, GroupUsedAt, objset);
        }
    }

    private void WalkDnode(ImageBlock block, int at, ulong objset)
    {
        DnodePhys dn = MemoryMarshal.Read<DnodePhys>(block.Content.AsSpan(at));
        if (dn.Type == DmuOt.None)
        {
            return;
        }

        for (int i = 0; i < dn.BlkptrCount; i++)
        {
            WalkTree(block, at + DnodePhys.BlkptrOffset + (i * Blkptr.SizeOf), objset);
        }

        int dataset = at + DnodePhys.BlkptrOffset + (dn.BlkptrCount * Blkptr.SizeOf) + DatasetPointerAt;
        if (dn.BonusType == DmuOt.DslDataset && Down(block, MemoryMarshal.Read<Blkptr>(block.Content.AsSpan(dataset)), dataset) is { } root)
        {
            WalkObjset(root, (ulong)(_blocks.Count + 1));
        }
    }

    private void WalkTree(ImageBlock parent, int pointerAt, ulong objset)
    {
        if (Down(parent, MemoryMarshal.Read<Blkptr>(parent.Content.AsSpan(pointerAt)), pointerAt) is not { } block)
        {
            return;
        }

        int step = block.IsIndirect ? Blkptr.SizeOf : block.Pointer.Type == DmuOt.Dnode ? DnodePhys.SizeOf : block.Content.Length;
        for (int at = 0; step < block.Content.Length && at < block.Content.Length; at += step)
        {
            if (block.IsIndirect)
            {
                WalkTree(block, at, objset);
            }
            else
            {
                WalkDnode(block, at, objset);
            }
        }
    }
}
