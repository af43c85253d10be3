using System.Numerics;

namespace ZfsLite.Fs;

/// <summary>
/// A set of units (smallest allocations) of all vdevs, in chunks that are made when first needed: an empty pool costs
/// nothing, a full one a bit for each unit.
/// </summary>
internal sealed class SpaceBitmap
{
    private const int ChunkShift = 19;
    private const ulong ChunkUnits = 1UL << ChunkShift;

    private readonly IReadOnlyList<Vdev?> _vdevs;
    private readonly ulong[]?[]?[] _chunks;

    internal SpaceBitmap(IReadOnlyList<Vdev?> vdevs)
    {
        _vdevs = vdevs;
        _chunks = new ulong[]?[]?[vdevs.Count];
        for (int i = 0; i < vdevs.Count; i++)
        {
            if (vdevs[i] is { } v)
            {
                _chunks[i] = new ulong[]?[((v.Asize >> v.Ashift) >> ChunkShift) + 1];
            }
        }
    }

    /// <summary>True if the range lies in a vdev that is here.</summary>
    internal bool Covers(uint vdev, ulong offset, ulong length) =>
        vdev < (uint)_vdevs.Count && _vdevs[(int)vdev] is { } v && v.Contains(offset, length)
        && ((offset | length) & ((1UL << v.Ashift) - 1)) == 0;

    /// <summary>Adds the range (which must be covered); returns how many of its bytes were in the set already.</summary>
    internal ulong Add(uint vdev, ulong offset, ulong length) => Change(vdev, offset, length, set: true);

    /// <summary>Takes the range out; returns how many of its bytes were in the set.</summary>
    internal ulong Remove(uint vdev, ulong offset, ulong length) => Change(vdev, offset, length, set: false);

    /// <summary>Adds one unit; false if it was there already.</summary>
    internal bool TryAddUnit(uint vdev, ulong offset) => Add(vdev, offset, 1UL << _vdevs[(int)vdev]!.Ashift) == 0;

    /// <summary>True if the unit at an offset is in the set.</summary>
    internal bool ContainsUnit(uint vdev, ulong offset)
    {
        ulong unit = offset >> _vdevs[(int)vdev]!.Ashift;
        ulong[]? chunk = _chunks[vdev]![unit >> ChunkShift];
        return chunk is not null && (chunk[(unit & (ChunkUnits - 1)) >> 6] >> (int)(unit & 63) & 1) != 0;
    }

    /// <summary>How many bytes of the range are in the set.</summary>
    internal ulong Count(uint vdev, ulong offset, ulong length)
    {
        int ashift = _vdevs[(int)vdev]!.Ashift;
        ulong n = 0;
        for (ulong unit = offset >> ashift, end = (offset + length) >> ashift; unit < end;)
        {
            ulong[]? chunk = _chunks[vdev]![unit >> ChunkShift];
            ulong word = (unit & (ChunkUnits - 1)) >> 6;
            int bit = (int)(unit & 63);
            int take = (int)Math.Min(64 - (ulong)bit, end - unit);
            if (chunk is not null)
            {
                n += (ulong)BitOperations.PopCount(chunk[word] & MaskOf(bit, take));
            }

            unit += (uint)take;
        }

        return n << ashift;
    }

    /// <summary>Ranges that are in this set and not in the other, as vdev, offset, length in bytes.</summary>
    internal IEnumerable<(uint Vdev, ulong Offset, ulong Length)> Except(SpaceBitmap other)
    {
        for (uint v = 0; v < _chunks.Length; v++)
        {
            if (_chunks[v] is not { } mine)
            {
                continue;
            }

            int ashift = _vdevs[(int)v]!.Ashift;
            ulong start = 0, end = 0;
            for (ulong c = 0; c < (ulong)mine.Length; c++)
            {
                if (mine[c] is not { } words)
                {
                    continue;
                }

                ulong[]? theirs = other._chunks[v]![c];
                for (ulong w = 0; w < (ulong)words.Length; w++)
                {
                    for (ulong left = words[w] & ~(theirs?[w] ?? 0); left != 0; left &= left - 1)
                    {
                        ulong unit = (c << ChunkShift) + (w << 6) + (ulong)BitOperations.TrailingZeroCount(left);
                        if (unit != end && end > start)
                        {
                            yield return (v, start << ashift, (end - start) << ashift);
                        }

                        start = unit == end && end > start ? start : unit;
                        end = unit + 1;
                    }
                }
            }

            if (end > start)
            {
                yield return (v, start << ashift, (end - start) << ashift);
            }
        }
    }

    private static ulong MaskOf(int bit, int count) => (count == 64 ? ulong.MaxValue : (1UL << count) - 1) << bit;

    private ulong Change(uint vdev, ulong offset, ulong length, bool set)
    {
        int ashift = _vdevs[(int)vdev]!.Ashift;
        ulong were = 0;
        for (ulong unit = offset >> ashift, end = (offset + length) >> ashift; unit < end;)
        {
            ref ulong[]? chunk = ref _chunks[vdev]![unit >> ChunkShift];
            chunk ??= new ulong[ChunkUnits / 64];
            ref ulong word = ref chunk[(unit & (ChunkUnits - 1)) >> 6];
            int bit = (int)(unit & 63);
            int take = (int)Math.Min(64 - (ulong)bit, end - unit);
            ulong mask = MaskOf(bit, take);
            were += (ulong)BitOperations.PopCount(word & mask);
            word = set ? word | mask : word & ~mask;
            unit += (uint)take;
        }

        return were << ashift;
    }
}
