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
    private readonly List<ImageLog> _logs = [];
    private readonly Vdev?[] _vdevs;

    internal ImageMap(string name, IReadOnlyList<MemoryVdevIo> disks)
    {
        Name = name;
        Disks = disks;
        List<VdevLabelScan> scans = [.. disks.Select(static d => VdevLabel.Scan(d))];
        Uberblock = scans.MaxBy(static s => s.Best.Txg)!.Best;
        Labels = scans.ConvertAll(static s => s.ConfigList!.Pack());
        _vdevs = new Vdev?[disks.Count];
        for (int i = 0; i < disks.Count; i++)
        {
            VdevConfig top = scans[i].Config!.Tops[0];
            _vdevs[i] = new Vdev { Id = (uint)i, Guid = top.Guid, Ashift = (int)top.Ashift, Asize = top.Asize, Io = disks[i] };
        }

        Ashift = _vdevs[0]!.Ashift;
        Asize = _vdevs[0]!.Asize;
        if (Down(null, Uberblock.RootBp, 0) is { } mos)
        {
            WalkObjset(mos);
        }
    }

    internal string Name { get; }

    /// <summary>Its disks, by the number of the vdev.</summary>
    internal IReadOnlyList<MemoryVdevIo> Disks { get; }

    internal Uberblock Uberblock { get; }

    internal int Ashift { get; }

    /// <summary>Bytes of the first disk that blocks may lie in.</summary>
    internal ulong Asize { get; }

    /// <summary>The configurations in the labels of each disk, packed.</summary>
    internal IReadOnlyList<byte[]> Labels { get; }

    /// <summary>Every block.</summary>
    internal IReadOnlyList<ImageBlock> Blocks => _blocks;

    /// <summary>The intent logs.</summary>
    internal IReadOnlyList<ImageLog> Logs => _logs;

    /// <summary>Does any of them hold something?</summary>
    internal bool HasRecords => _logs.Exists(static l => l.Blocks.Count > 0);

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

    private void WalkObjset(ImageBlock block)
    {
        ObjsetPhys phys = MemoryMarshal.Read<ObjsetPhys>(block.Content.AsSpan().Length < ObjsetPhys.SizeOf
            ? [.. block.Content, .. new byte[ObjsetPhys.SizeOf - block.Content.Length]]
            : block.Content);
        if (!phys.ZilHeader.Log.IsHole)
        {
            _logs.Add(ReadLog(block, phys.ZilHeader.Log));
        }

        WalkDnode(block, 0);
        if (block.Content.Length >= ObjsetPhys.SizeOf)
        {
            WalkDnode(block, UserUsedAt);
            WalkDnode(block, GroupUsedAt);
        }
    }

    private ImageLog ReadLog(ImageBlock owner, in Blkptr head)
    {
        var blocks = new List<ImageLogBlock>();
        var bytes = new byte[ZilBlock.MaxSize];
        Blkptr end = head;
        fixed (byte* p = bytes)
        {
            var chain = new ZilChain(_vdevs, head, p);
            for (; chain.MoveNext(); end = chain.Bp)
            {
                end = chain.Bp;
                if (!chain.Read())
                {
                    break;
                }

                var records = new List<byte[]>();
                for (ZilRecord* r = chain.NextRecord(); r is not null; r = chain.NextRecord())
                {
                    records.Add(new Span<byte>(r, (int)r->Length).ToArray());
                }

                blocks.Add(new ImageLogBlock { Pointer = chain.Bp, Records = records });
            }
        }

        return new ImageLog { Owner = owner, Blocks = blocks, End = end };
    }

    private void WalkDnode(ImageBlock block, int at)
    {
        DnodePhys dn = MemoryMarshal.Read<DnodePhys>(block.Content.AsSpan(at));
        if (dn.Type == DmuOt.None)
        {
            return;
        }

        for (int i = 0; i < dn.BlkptrCount; i++)
        {
            WalkTree(block, at + DnodePhys.BlkptrOffset + (i * Blkptr.SizeOf));
        }

        int dataset = at + DnodePhys.BlkptrOffset + (dn.BlkptrCount * Blkptr.SizeOf) + DatasetPointerAt;
        if (dn.BonusType == DmuOt.DslDataset && Down(block, MemoryMarshal.Read<Blkptr>(block.Content.AsSpan(dataset)), dataset) is { } root)
        {
            WalkObjset(root);
        }
    }

    private void WalkTree(ImageBlock parent, int pointerAt)
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
                WalkTree(block, at);
            }
            else
            {
                WalkDnode(block, at);
            }
        }
    }
}
