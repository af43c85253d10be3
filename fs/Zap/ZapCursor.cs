namespace ZfsLite.Fs;

/// <summary>
/// Walks a ZAP in the order of (hash, cd). Each step takes and drops the lock; entries added or removed between steps may or
/// may not be seen, all others are seen exactly once.
/// </summary>
public unsafe ref struct ZapCursor
{
    private readonly ZapStore _store;
    private readonly Span<byte> _buffer;
    private ulong _next;
    private int _nameLength;

    /// <summary>Starts at a cookie: <see cref="Zap.FirstCookie"/> or less is the beginning.</summary>
    /// <param name="dn">The held object.</param>
    /// <param name="buffer">Room for a name: 256 bytes.</param>
    /// <param name="cookie">Where to go on.</param>
    public ZapCursor(Dnode dn, Span<byte> buffer, ulong cookie = 0)
        : this(new ZapStore(dn), buffer, cookie)
    {
    }

    internal ZapCursor(ZapStore store, Span<byte> buffer, ulong cookie)
    {
        if (buffer.Length <= ZapLimits.NameMax)
        {
            throw new ArgumentException("the buffer must hold 256 bytes", nameof(buffer));
        }

        _store = store;
        _buffer = buffer;
        _next = cookie < Zap.FirstCookie ? 0 : cookie - Zap.FirstCookie;
    }

    /// <summary>Name of the entry; valid until the next step.</summary>
    public readonly ReadOnlySpan<byte> Name => _buffer[.._nameLength];

    /// <summary>The first integer of its value.</summary>
    public ulong Value { get; private set; }

    /// <summary>Bytes of one integer of the value.</summary>
    public int IntSize { get; private set; }

    /// <summary>Integers of the value.</summary>
    public int Count { get; private set; }

    /// <summary>The cookie of this entry.</summary>
    public ulong Cookie { get; private set; }

    /// <summary>The cookie to go on with after this entry.</summary>
    public readonly ulong NextCookie => _next + Zap.FirstCookie;

    /// <summary>Goes to the next entry. False at the end.</summary>
    public bool MoveNext()
    {
        if (_next >> (32 + ZapHash.Bits) != 0)
        {
            return false;
        }

        ZapBlock b = ZapCore.HoldForRead(_store);
        try
        {
            return ZapCore.IsMicro(_store, b) ? MoveMicro(b) : MoveFat(b);
        }
        finally
        {
            _store.Release(ref b);
            _store.Lock.Exit();
        }
    }

    private bool MoveMicro(in ZapBlock b)
    {
        Span<ulong> small = stackalloc ulong[ZapMicro.SmallSlots];
        ReadOnlySpan<ulong> keys = ZapMicro.SortedKeys(_store, b, small);
        var cd = (uint)_next;
        ulong hash = _next >> 32 << 36;
        int at = cd > ZapMicroIndex.CdMax
            ? ZapMicroIndex.LowerBound(keys, hash + (1UL << 36))
            : ZapMicroIndex.LowerBound(keys, ZapMicroIndex.MakeKey(hash, cd, 0));
        if (at == keys.Length || (cd > ZapMicroIndex.CdMax && hash + (1UL << 36) == 0))
        {
            _next = ulong.MaxValue - Zap.FirstCookie;
            return false;
        }

        byte* slot = ZapMicro.Slot(b.Data, ZapMicroIndex.SlotOf(keys[at]));
        ReadOnlySpan<byte> name = ZapMicro.Name(slot);
        name.CopyTo(_buffer);
        _nameLength = name.Length;
        Value = ZapMicro.Value(slot);
        IntSize = sizeof(ulong);
        Count = 1;
        Found(ZapMicroIndex.HashOf(keys[at]), ZapMicroIndex.CdOf(keys[at]));
        return true;
    }

    private bool MoveFat(in ZapBlock b)
    {
        ulong hash = _next >> 32 << 36;
        var cd = (uint)_next;
        while (true)
        {
            ZapBlock leafBlock = ZapFat.HoldLeaf(_store, b, hash);
            try
            {
                var leaf = new ZapLeaf(leafBlock.Data, leafBlock.Size);
                int at = leaf.FindFrom(hash, cd);
                if (at >= 0)
                {
                    Take(leaf, leaf.Entry(at));
                    return true;
                }

                ulong nextPrefix = leaf.Prefix + 1;
                if (leaf.PrefixLength == 0 || nextPrefix >> leaf.PrefixLength != 0)
                {
                    _next = ulong.MaxValue - Zap.FirstCookie;
                    return false;
                }

                hash = nextPrefix << (64 - leaf.PrefixLength);
                cd = 0;
            }
            finally
            {
                _store.Release(ref leafBlock);
            }
        }
    }

    private void Take(ZapLeaf leaf, in ZapLeafEntry e)
    {
        _nameLength = leaf.ReadName(e, _buffer).Length;
        IntSize = e.IntSize;
        Count = e.IntCount;
        Value = e.IntCount == 0 ? 0 : leaf.ReadSingle(e);
        Found(e.Hash, e.Cd);
    }

    private void Found(ulong hash, uint cd)
    {
        ulong position = (hash >> 36 << 32) | cd;
        Cookie = position + Zap.FirstCookie;
        _next = position + 1;
    }
}
