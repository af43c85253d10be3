using System.Buffers.Binary;
using System.Numerics;

namespace ZfsLite.Fs;

/// <summary>
/// A leaf of a fat ZAP: a hash table of chains of entries, whose names and values lie in chains of 24-byte chunks. A view of
/// the block's bytes; every chunk number read from the block is checked, every walk is bounded by the number of chunks.
/// </summary>
internal readonly unsafe ref struct ZapLeaf
{
    internal const ushort End = ZapPhys.ChainEnd;
    internal const int ArrayBytes = ZapPhys.ChunkArrayBytes;
    private const int ChunkSize = ZapPhys.LeafChunkSize;
    private const int HeaderSize = ZapPhys.LeafHash;
    private const byte TypeEntry = ZapPhys.ChunkEntry;
    private const byte TypeFree = ZapPhys.ChunkFree;
    private const byte TypeArray = ZapPhys.ChunkArray;
    private const byte FlagCdSorted = ZapPhys.LeafFlagSorted;

    private readonly byte* _p;
    private readonly int _buckets;

    internal ZapLeaf(byte* block, int blockSize)
    {
        _p = block;
        _buckets = ZapPhys.LeafHashCount(blockSize);
        Chunks = ZapPhys.LeafChunkCount(blockSize);
    }

    /// <summary>Number of chunks of a leaf of this size.</summary>
    internal int Chunks { get; }

    internal int Buckets => _buckets;

    internal ulong Prefix { get => *(ulong*)(_p + 16); set => *(ulong*)(_p + 16) = value; }

    internal int FreeChunks { get => *(ushort*)(_p + 28); private set => *(ushort*)(_p + 28) = (ushort)value; }

    internal int Entries { get => *(ushort*)(_p + 30); private set => *(ushort*)(_p + 30) = (ushort)value; }

    internal int PrefixLength { get => *(ushort*)(_p + 32); set => *(ushort*)(_p + 32) = (ushort)value; }

    private ushort FreeList { get => *(ushort*)(_p + 34); set => *(ushort*)(_p + 34) = value; }

    /// <summary>Chunks that <paramref name="bytes"/> bytes take.</summary>
    internal static int ChunksFor(int bytes) => (bytes + ArrayBytes - 1) / ArrayBytes;

    /// <summary>Does the header look like a leaf's?</summary>
    internal bool IsValid => *(ulong*)_p == ZapLimits.LeafType && *(uint*)(_p + 24) == ZapLimits.LeafMagic
        && PrefixLength <= ZapHash.Bits && Entries <= Chunks && FreeChunks <= Chunks
        && (PrefixLength == 0 ? Prefix == 0 : Prefix >> PrefixLength == 0);

    /// <summary>Makes an empty leaf.</summary>
    internal void Format(ulong prefix, int prefixLength, bool cdSorted)
    {
        new Span<byte>(_p, HeaderSize).Clear();
        *(ulong*)_p = ZapLimits.LeafType;
        *(uint*)(_p + 24) = ZapLimits.LeafMagic;
        _p[36] = cdSorted ? FlagCdSorted : (byte)0;
        Prefix = prefix;
        PrefixLength = prefixLength;
        ClearBuckets();
        for (int i = 0; i < Chunks; i++)
        {
            byte* chunk = Chunk(i);
            new Span<byte>(chunk, ChunkSize).Clear();
            chunk[0] = TypeFree;
            *(ushort*)(chunk + 22) = i + 1 < Chunks ? (ushort)(i + 1) : End;
        }

        FreeList = 0;
        FreeChunks = Chunks;
        Entries = 0;
    }

    /// <summary>First entry of a bucket.</summary>
    internal ushort BucketHead(int bucket) => ((ushort*)(_p + HeaderSize))[bucket];

    internal int BucketOf(ulong hash) =>
        (int)(hash >> (64 - PrefixLength - BitOperations.Log2((uint)_buckets))) & (_buckets - 1);

    /// <summary>Entry at a chunk number from disk. Throws on anything that is no entry.</summary>
    internal ZapLeafEntry Entry(int chunk)
    {
        if ((uint)chunk >= (uint)Chunks || Chunk(chunk)[0] != TypeEntry)
        {
            throw Damaged($"chunk {chunk} is no entry");
        }

        var e = new ZapLeafEntry(Chunk(chunk));
        if (e.NameLength is 0 or > ZapLimits.NameMax + 1 || e.IntSize is not (1 or 2 or 4 or 8)
            || (e.Hash & ((1UL << (64 - ZapHash.Bits)) - 1)) != 0)
        {
            throw Damaged($"entry {chunk} has name length {e.NameLength}, integer size {e.IntSize}, hash {e.Hash:x}");
        }

        return e;
    }

    /// <summary>The entry of a name, or -1. Of several that match, the one with the lowest cd.</summary>
    internal int Find(ulong hash, ReadOnlySpan<byte> name, ulong matchFlags)
    {
        Span<byte> buffer = stackalloc byte[ZapLimits.NameMax + 1];
        int best = -1;
        uint bestCd = uint.MaxValue;
        int steps = 0;
        for (int at = BucketHead(BucketOf(hash)); at != End;)
        {
            CheckSteps(ref steps);
            ZapLeafEntry e = Entry(at);
            if (e.Hash == hash && (matchFlags != 0 || e.NameLength == name.Length + 1) && (best < 0 || e.Cd < bestCd)
                && ZapHash.Same(matchFlags, ReadName(e, buffer), name))
            {
                best = at;
                bestCd = e.Cd;
            }

            at = e.Next;
        }

        return best;
    }

    /// <summary>The first entry at or after (hash, cd) in iteration order, or -1.</summary>
    internal int FindFrom(ulong hash, uint cd)
    {
        int steps = 0;
        for (int bucket = BucketOf(hash); bucket < _buckets; bucket++)
        {
            int best = -1;
            ulong bestHash = ulong.MaxValue;
            uint bestCd = uint.MaxValue;
            for (int at = BucketHead(bucket); at != End;)
            {
                CheckSteps(ref steps);
                ZapLeafEntry e = Entry(at);
                if (BucketOf(e.Hash) != bucket || (PrefixLength > 0 && e.Hash >> (64 - PrefixLength) != Prefix))
                {
                    throw Damaged($"entry {at} is in the wrong bucket");
                }

                bool after = e.Hash > hash || (e.Hash == hash && e.Cd >= cd);
                if (after && (best < 0 || e.Hash < bestHash || (e.Hash == bestHash && e.Cd < bestCd)))
                {
                    best = at;
                    bestHash = e.Hash;
                    bestCd = e.Cd;
                }

                at = e.Next;
            }

            if (best >= 0)
            {
                return best;
            }
        }

        return -1;
    }

    /// <summary>Name of an entry, without its NUL, in the buffer.</summary>
    internal Span<byte> ReadName(in ZapLeafEntry e, Span<byte> buffer)
    {
        Span<byte> name = buffer[..e.NameLength];
        ReadArray(e.NameChunk, name);
        return name[..^1];
    }

    /// <summary>Values of an entry as native integers; the destination takes at least IntSize × IntCount bytes.</summary>
    internal void ReadValue(in ZapLeafEntry e, Span<byte> destination)
    {
        Span<byte> d = destination[..(e.IntSize * e.IntCount)];
        ReadArray(e.ValueChunk, d);
        ReverseIntegers(d, e.IntSize);
    }

    /// <summary>The value as one unsigned integer.</summary>
    internal ulong ReadSingle(in ZapLeafEntry e)
    {
        Span<byte> raw = stackalloc byte[8];
        raw.Clear();
        ReadArray(e.ValueChunk, raw.Slice(8 - e.IntSize, e.IntSize));
        return BinaryPrimitives.ReadUInt64BigEndian(raw);
    }

    /// <summary>Adds an entry that is known to be new and to fit.</summary>
    internal void Insert(ulong hash, ReadOnlySpan<byte> name, int intSize, ReadOnlySpan<byte> values)
    {
        uint cd = LowestCd(hash);
        Span<byte> array = stackalloc byte[ZapLimits.NameMax + 1];
        name.CopyTo(array);
        array[name.Length] = 0;
        int at = TakeChunk();
        byte* p = Chunk(at);
        new Span<byte>(p, ChunkSize).Clear();
        p[0] = TypeEntry;
        *(uint*)(p + 12) = cd;
        *(ulong*)(p + 16) = hash;
        *(ushort*)(p + 4) = WriteArray(array[..(name.Length + 1)], 1);
        *(ushort*)(p + 6) = (ushort)(name.Length + 1);
        SetValue(p, intSize, values);
        Link(at);
        Entries++;
    }

    /// <summary>Replaces the value of an entry; the free chunks must be enough without the old value's.</summary>
    internal void Replace(int at, int intSize, ReadOnlySpan<byte> values)
    {
        ZapLeafEntry e = Entry(at);
        FreeArray(e.ValueChunk, e.IntSize * e.IntCount);
        SetValue(Chunk(at), intSize, values);
    }

    /// <summary>Removes an entry.</summary>
    internal void Remove(int at)
    {
        ZapLeafEntry e = Entry(at);
        int steps = 0;
        ushort* link = HeadPointer(BucketOf(e.Hash));
        while (*link != at)
        {
            CheckSteps(ref steps);
            if (*link == End)
            {
                throw Damaged($"entry {at} is not in its chain");
            }

            Entry(*link);
            link = (ushort*)(Chunk(*link) + 2);
        }

        *link = e.Next;
        FreeArray(e.NameChunk, e.NameLength);
        FreeArray(e.ValueChunk, e.IntSize * e.IntCount);
        FreeChunk(at);
        Entries--;
    }

    /// <summary>Moves the upper half of the hash range into the (unformatted) leaf <paramref name="upper"/>.</summary>
    internal void SplitInto(ZapLeaf upper)
    {
        int bit = 64 - PrefixLength - 1;
        upper.Format((Prefix << 1) | 1, PrefixLength + 1, (_p[36] & FlagCdSorted) != 0);
        Prefix <<= 1;
        PrefixLength++;
        ClearBuckets();
        for (int i = 0; i < Chunks; i++)
        {
            if (Chunk(i)[0] != TypeEntry)
            {
                continue;
            }

            ZapLeafEntry e = Entry(i);
            if (((e.Hash >> bit) & 1) != 0)
            {
                MoveEntry(i, e, upper);
            }
            else
            {
                Link(i);
            }
        }
    }

    /// <summary>Length of the prefix that every entry here shares with <paramref name="hash"/>.</summary>
    internal int CommonPrefix(ulong hash)
    {
        ulong different = 0;
        for (int i = 0; i < Chunks; i++)
        {
            if (Chunk(i)[0] == TypeEntry)
            {
                different |= *(ulong*)(Chunk(i) + 16) ^ hash;
            }
        }

        return Math.Min(ZapHash.Bits, BitOperations.LeadingZeroCount(different));
    }

    private void MoveEntry(int at, in ZapLeafEntry e, ZapLeaf to)
    {
        int target = to.TakeChunk();
        Span<byte> copy = new(to.Chunk(target), ChunkSize);
        new Span<byte>(Chunk(at), ChunkSize).CopyTo(copy);
        *(ushort*)(to.Chunk(target) + 4) = MoveArray(e.NameChunk, e.NameLength, to);
        *(ushort*)(to.Chunk(target) + 8) = MoveArray(e.ValueChunk, e.IntSize * e.IntCount, to);
        FreeChunk(at);
        Entries--;
        to.Link(target);
        to.Entries++;
    }

    private ushort MoveArray(int chunk, int bytes, ZapLeaf to)
    {
        ushort head = End;
        byte* last = null;
        for (int left = ChunksFor(bytes); left > 0; left--)
        {
            byte* from = ArrayChunk(chunk);
            ushort next = *(ushort*)(from + 22);
            int taken = to.TakeChunk();
            byte* p = to.Chunk(taken);
            new Span<byte>(from, ChunkSize).CopyTo(new Span<byte>(p, ChunkSize));
            *(ushort*)(p + 22) = End;
            if (last is null)
            {
                head = (ushort)taken;
            }
            else
            {
                *(ushort*)(last + 22) = (ushort)taken;
            }

            last = p;
            FreeChunk(chunk);
            chunk = next;
        }

        return head;
    }

    private void SetValue(byte* entry, int intSize, ReadOnlySpan<byte> values)
    {
        entry[1] = (byte)intSize;
        *(ushort*)(entry + 8) = WriteArray(values, intSize);
        *(ushort*)(entry + 10) = (ushort)(values.Length / intSize);
    }

    private uint LowestCd(ulong hash)
    {
        for (uint cd = 0; ; cd++)
        {
            bool used = false;
            int steps = 0;
            for (int at = BucketHead(BucketOf(hash)); at != End && !used;)
            {
                CheckSteps(ref steps);
                ZapLeafEntry e = Entry(at);
                used = e.Hash == hash && e.Cd == cd;
                at = e.Next;
            }

            if (!used)
            {
                return cd;
            }
        }
    }

    /// <summary>Puts an entry into its chain, which is sorted by cd.</summary>
    private void Link(int at)
    {
        var own = new ZapLeafEntry(Chunk(at));
        int steps = 0;
        ushort* link = HeadPointer(BucketOf(own.Hash));
        while (*link != End)
        {
            CheckSteps(ref steps);
            if (Entry(*link).Cd > own.Cd)
            {
                break;
            }

            link = (ushort*)(Chunk(*link) + 2);
        }

        *(ushort*)(Chunk(at) + 2) = *link;
        *link = (ushort)at;
    }

    private void ReadArray(int chunk, Span<byte> destination)
    {
        while (destination.Length > 0)
        {
            byte* p = ArrayChunk(chunk);
            int n = Math.Min(ArrayBytes, destination.Length);
            new ReadOnlySpan<byte>(p + 1, n).CopyTo(destination);
            destination = destination[n..];
            chunk = *(ushort*)(p + 22);
        }
    }

    private ushort WriteArray(ReadOnlySpan<byte> source, int intSize)
    {
        ushort head = End;
        byte* last = null;
        for (int done = 0; done < source.Length; done += ArrayBytes)
        {
            int at = TakeChunk();
            byte* p = Chunk(at);
            new Span<byte>(p, ChunkSize).Clear();
            p[0] = TypeArray;
            *(ushort*)(p + 22) = End;
            int n = Math.Min(ArrayBytes, source.Length - done);
            for (int i = 0; i < n; i++)
            {
                // Integers are stored big-endian: byte i of the stream is the mirrored byte of its integer.
                int position = done + i;
                int within = position % intSize;
                p[1 + i] = source[position - within + (intSize - 1 - within)];
            }

            if (last is null)
            {
                head = (ushort)at;
            }
            else
            {
                *(ushort*)(last + 22) = (ushort)at;
            }

            last = p;
        }

        return head;
    }

    private void FreeArray(int chunk, int bytes)
    {
        for (int left = ChunksFor(bytes); left > 0; left--)
        {
            byte* p = ArrayChunk(chunk);
            int next = *(ushort*)(p + 22);
            FreeChunk(chunk);
            chunk = next;
        }
    }

    private byte* ArrayChunk(int chunk)
    {
        if ((uint)chunk >= (uint)Chunks || Chunk(chunk)[0] != TypeArray)
        {
            throw Damaged($"chunk {chunk} is no array");
        }

        return Chunk(chunk);
    }

    private int TakeChunk()
    {
        int at = FreeList;
        if ((uint)at >= (uint)Chunks || Chunk(at)[0] != TypeFree || FreeChunks == 0)
        {
            throw Damaged($"free list leads to chunk {at}, {FreeChunks} free");
        }

        FreeList = *(ushort*)(Chunk(at) + 22);
        FreeChunks--;
        return at;
    }

    private void FreeChunk(int at)
    {
        byte* p = Chunk(at);
        new Span<byte>(p, ChunkSize).Clear();
        p[0] = TypeFree;
        *(ushort*)(p + 22) = FreeList;
        FreeList = (ushort)at;
        FreeChunks++;
    }

    private static void ReverseIntegers(Span<byte> bytes, int intSize)
    {
        if (intSize > 1)
        {
            for (int i = 0; i + intSize <= bytes.Length; i += intSize)
            {
                bytes.Slice(i, intSize).Reverse();
            }
        }
    }

    private void ClearBuckets() => new Span<byte>(_p + HeaderSize, 2 * _buckets).Fill(0xff);

    private ushort* HeadPointer(int bucket) => (ushort*)(_p + HeaderSize) + bucket;

    private byte* Chunk(int i) => _p + HeaderSize + (2 * _buckets) + (i * ChunkSize);

    private void CheckSteps(ref int steps)
    {
        if (++steps > Chunks)
        {
            throw Damaged("a chain runs in a circle");
        }
    }

    private static ZfsException Damaged(string what) => new(Errno.EIO, $"ZAP leaf damaged: {what}");
}
