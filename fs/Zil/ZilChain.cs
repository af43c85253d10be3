namespace ZfsLite.Fs;

/// <summary>
/// Walks a log on disk, from its head to where it ends: at a block that was never written, or that is not of this chain. Nothing in it is
/// believed before it is checked, and the walk is bounded by the device.
/// </summary>
internal unsafe ref struct ZilChain
{
    private readonly IReadOnlyList<Vdev?> _vdevs;
    private readonly byte* _block;
    private readonly HashSet<(ulong, ulong)> _seen;
    private Blkptr _next;
    private ulong _seq;
    private int _used;
    private int _at;

    /// <summary>Starts at the head. <paramref name="block"/> has room for 128 KiB.</summary>
    internal ZilChain(IReadOnlyList<Vdev?> vdevs, in Blkptr head, byte* block)
    {
        _vdevs = vdevs;
        _next = head;
        _block = block;
        _seen = [];
    }

    /// <summary>The pointer of the current block.</summary>
    internal Blkptr Bp { get; private set; }

    /// <summary>Number of the current block in the chain.</summary>
    internal readonly ulong BlockSeq => Bp.Checksum.W3;

    /// <summary>Goes on to the next block's pointer: false at the end. The block itself may still turn out not to be written.</summary>
    internal bool MoveNext()
    {
        // Blocks are given out as the log grows: their numbers rise, and none is older than the one before it.
        if (!ZilBlock.IsPointer(_next) || _next.Checksum.W3 <= Bp.Checksum.W3 || _next.Birth < Bp.Birth || !_seen.Add((_next.Dva0.Word0, _next.Dva0.Word1)))
        {
            return false;
        }

        Bp = _next;
        _next = default;
        _used = 0;
        _at = 0;
        return true;
    }

    /// <summary>Reads the current block. False: never written, the end.</summary>
    internal bool Read()
    {
        if (!ZilBlock.TryRead(_vdevs, Bp, _block, out _used, out _next))
        {
            return false;
        }

        _at = ZilBlock.ChainSize;
        return true;
    }

    /// <summary>The current block has a record that makes no sense: the log ends before it.</summary>
    internal bool IsBad { get; private set; }

    /// <summary>The next record of the current block; null: no more, or <see cref="IsBad"/>.</summary>
    internal ZilRecord* NextRecord()
    {
        if (_at == _used)
        {
            return null;
        }

        var r = (ZilRecord*)(_block + _at);
        if (_used - _at < ZilRecord.HeaderSize || r->Length < ZilRecord.HeaderSize || r->Length % 8 != 0 || r->Length > (ulong)(_used - _at)
            || r->Length < (ulong)ZilRecord.FixedSize(r->Kind) || r->Seq <= _seq)
        {
            IsBad = true;
            return null;
        }

        _at += (int)r->Length;
        _seq = r->Seq;
        return r;
    }
}
