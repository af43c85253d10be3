using System.Globalization;
using System.Text;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>
/// The ZFS attribute processor: an object that maps names (1 to 255 bytes) to integers. Directories, the master node, the
/// object directory, properties and snapshot names are ZAPs.
/// </summary>
/// <remarks>
/// <para>A ZAP begins as a micro ZAP: one block of 64-byte entries, name of at most 49 bytes, one u64 each. It grows by 512
/// bytes up to 128 KiB and becomes a fat ZAP when it is full, or as soon as a longer name or another kind of value comes: a
/// header block, a pointer table indexed by the upper bits of the name's hash (first inside the header, then in blocks of its
/// own), and leaf blocks that split when full. It never goes back.</para>
/// <para>Hash and order: a salted CRC-64 of the name, upper 28 bits. Names of equal hash are told apart by a small number, the
/// cd. A cursor walks in the order of (hash, cd) and serialises to (hash, cd) + <see cref="FirstCookie"/>, so a position
/// survives any change of other entries, a restart, and the change from micro to fat.</para>
/// <para>Locks: the dnode's ContentLock, for reading in lookups and cursor steps, for writing in changes. It is taken last: under
/// it only blocks are held and memory is allocated. An index that a large micro ZAP lacks is built under the write lock.</para>
/// <para>What an add may dirty (the worst case that a transaction must count): a micro ZAP: its block, up to 512 bytes larger; if it is
/// full or the name is long, the blocks of the fat ZAP it turns into; a fat ZAP: the header, two leaves, the pointer table
/// doubled. <see cref="AddWorstBytes"/> says it for a given object. A removal dirties block 0 and one leaf.</para>
/// <para>What comes from disk is not trusted: block numbers, chunk numbers, lengths and counts are checked, chains are bounded by
/// the number of chunks of a leaf; damage is EIO.</para>
/// </remarks>
public static class Zap
{
    /// <summary>The cookie of a cursor's start; smaller values are the caller's own.</summary>
    public const ulong FirstCookie = 3;

    /// <summary>Longest name, bytes.</summary>
    public const int NameMax = ZapLimits.NameMax;

    /// <summary>normFlags of a ZAP whose names are hashed without regard to case.</summary>
    public const ulong NormToUpper = ZapHash.NormToUpper;

    /// <summary>Allocates an object and makes it an empty micro ZAP. Returned held.</summary>
    public static Dnode Create(Objset os, DmuOt type, DmuOt bonusType, int bonusLength, DmuTx tx, ulong normFlags = 0)
    {
        Dnode dn = os.AllocateObject(type, ZapLimits.MicroBlockStep, bonusType, bonusLength, tx);
        Format(dn, tx, normFlags);
        return dn;
    }

    /// <summary>Makes a newly allocated object an empty micro ZAP.</summary>
    public static void Format(Dnode dn, DmuTx tx, ulong normFlags = 0) => ZapCore.Create(new ZapStore(dn), normFlags, tx);

    /// <summary>Looks up a name with a single integer value. 0, ENOENT, EINVAL, EOVERFLOW (several integers).</summary>
    public static int Lookup(Dnode dn, ReadOnlySpan<byte> name, out ulong value) => ZapCore.Lookup(new ZapStore(dn), name, false, out value);

    /// <summary>As above, for a name in text.</summary>
    public static int Lookup(Dnode dn, string name, out ulong value)
    {
        Span<byte> utf8 = stackalloc byte[NameMax + 1];
        return TryEncode(name, ref utf8) ? Lookup(dn, utf8, out value) : Fail(out value);
    }

    /// <summary>As above; in a ZAP with <see cref="NormToUpper"/> the case of letters does not matter.</summary>
    public static int LookupAnyCase(Dnode dn, ReadOnlySpan<byte> name, out ulong value) => ZapCore.Lookup(new ZapStore(dn), name, true, out value);

    /// <summary>Finds how a name is spelt that differs at most in case. The buffer holds 256 bytes.</summary>
    public static bool FindAnyCase(Dnode dn, ReadOnlySpan<byte> name, Span<byte> spelling, out int length) =>
        ZapCore.FindAnyCase(new ZapStore(dn), name, spelling, out length);

    /// <summary>Looks up a value of any kind: an array of native integers of <paramref name="intSize"/> bytes each. EOVERFLOW: it does not fit.</summary>
    public static int Lookup(Dnode dn, ReadOnlySpan<byte> name, Span<byte> values, out int intSize, out int count) =>
        ZapCore.Lookup(new ZapStore(dn), name, false, values, out intSize, out count);

    /// <summary>As above, for a name in text.</summary>
    public static int Lookup(Dnode dn, string name, Span<byte> values, out int intSize, out int count)
    {
        Span<byte> utf8 = stackalloc byte[NameMax + 1];
        if (TryEncode(name, ref utf8))
        {
            return Lookup(dn, utf8, values, out intSize, out count);
        }

        (intSize, count) = (0, 0);
        return Errno.ENOENT;
    }

    /// <summary>Looks up a number used as a name (lower-case hex).</summary>
    public static int LookupInt(Dnode dn, ulong key, out ulong value)
    {
        Span<byte> name = stackalloc byte[16];
        return Lookup(dn, HexName(key, name), out value);
    }

    /// <summary>Adds a name with one u64. 0, EEXIST, EINVAL, ENAMETOOLONG, ENOSPC (hash full).</summary>
    public static unsafe int Add(Dnode dn, ReadOnlySpan<byte> name, ulong value, DmuTx tx) =>
        ZapCore.Set(new ZapStore(dn), name, sizeof(ulong), new ReadOnlySpan<byte>(&value, sizeof(ulong)), false, tx);

    /// <summary>As above, for a name in text.</summary>
    public static int Add(Dnode dn, string name, ulong value, DmuTx tx)
    {
        Span<byte> utf8 = stackalloc byte[NameMax + 1];
        return TryEncode(name, ref utf8) ? Add(dn, utf8, value, tx) : Errno.ENAMETOOLONG;
    }

    /// <summary>Adds a name with an array of native integers. E2BIG: more than a leaf holds.</summary>
    public static int Add(Dnode dn, ReadOnlySpan<byte> name, int intSize, ReadOnlySpan<byte> values, DmuTx tx) =>
        ZapCore.Set(new ZapStore(dn), name, intSize, values, false, tx);

    /// <summary>Adds a number as a name (lower-case hex).</summary>
    public static int AddInt(Dnode dn, ulong key, ulong value, DmuTx tx)
    {
        Span<byte> name = stackalloc byte[16];
        return Add(dn, HexName(key, name), value, tx);
    }

    /// <summary>Sets the value of a name, there or not.</summary>
    public static unsafe int Update(Dnode dn, ReadOnlySpan<byte> name, ulong value, DmuTx tx) =>
        ZapCore.Set(new ZapStore(dn), name, sizeof(ulong), new ReadOnlySpan<byte>(&value, sizeof(ulong)), true, tx);

    /// <summary>As above, for a name in text.</summary>
    public static int Update(Dnode dn, string name, ulong value, DmuTx tx)
    {
        Span<byte> utf8 = stackalloc byte[NameMax + 1];
        return TryEncode(name, ref utf8) ? Update(dn, utf8, value, tx) : Errno.ENAMETOOLONG;
    }

    /// <summary>Sets an array of native integers.</summary>
    public static int Update(Dnode dn, ReadOnlySpan<byte> name, int intSize, ReadOnlySpan<byte> values, DmuTx tx) =>
        ZapCore.Set(new ZapStore(dn), name, intSize, values, true, tx);

    /// <summary>Sets the value of a number used as a name.</summary>
    public static int UpdateInt(Dnode dn, ulong key, ulong value, DmuTx tx)
    {
        Span<byte> name = stackalloc byte[16];
        return Update(dn, HexName(key, name), value, tx);
    }

    /// <summary>Removes a name: 0 or ENOENT.</summary>
    public static int Remove(Dnode dn, ReadOnlySpan<byte> name, DmuTx tx) => ZapCore.Remove(new ZapStore(dn), name, tx);

    /// <summary>As above, for a name in text.</summary>
    public static int Remove(Dnode dn, string name, DmuTx tx)
    {
        Span<byte> utf8 = stackalloc byte[NameMax + 1];
        return TryEncode(name, ref utf8) ? Remove(dn, utf8, tx) : Errno.ENOENT;
    }

    /// <summary>Removes a number used as a name.</summary>
    public static int RemoveInt(Dnode dn, ulong key, DmuTx tx)
    {
        Span<byte> name = stackalloc byte[16];
        return Remove(dn, HexName(key, name), tx);
    }

    /// <summary>Number of entries.</summary>
    public static ulong Count(Dnode dn) => ZapCore.Count(new ZapStore(dn));

    /// <summary>Bytes of blocks that one add may dirty at worst, one copy of each.</summary>
    public static long AddWorstBytes(Dnode dn) => ZapCore.AddWorstBytes(new ZapStore(dn));

    /// <summary>The name of an integer key: lower-case hex, no prefix.</summary>
    internal static ReadOnlySpan<byte> HexName(ulong key, Span<byte> buffer)
    {
        key.TryFormat(buffer, out int written, "x", CultureInfo.InvariantCulture);
        return buffer[..written];
    }

    private static bool TryEncode(string name, ref Span<byte> utf8)
    {
        bool fits = Encoding.UTF8.TryGetBytes(name, utf8, out int n);
        utf8 = utf8[..n];
        return fits;
    }

    private static int Fail(out ulong value)
    {
        value = 0;
        return Errno.ENOENT;
    }
}
