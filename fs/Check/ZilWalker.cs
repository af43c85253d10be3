using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>
/// Walks the chain of an intent log, to put its blocks' space down as referred to: of an unclaimed log the blocks that the
/// space maps of this uberblock can know, of a claimed one all that was claimed, written data blocks included.
/// </summary>
internal sealed unsafe class ZilWalker
{
    private const int ChainSize = 184;
    private const int NextOffset = 8;
    private const int UsedOffset = 136;
    private const int EckOffset = 144;
    private const int WriteSize = 4096;
    private const ulong TxWrite = 9;

    private readonly CheckContext _ctx;
    private readonly string _dataset;
    private readonly ulong _objset;

    internal ZilWalker(CheckContext ctx, string dataset, ulong objset)
    {
        _ctx = ctx;
        _dataset = dataset;
        _objset = objset;
    }

    /// <summary>Blocks of the chain met.</summary>
    internal int Blocks { get; private set; }

    internal void Walk(in ZilHeader header)
    {
        Blkptr bp = header.Log;
        byte[] block = new byte[ZioBuf.MaxSize];
        for (long budget = _ctx.Pool.BlockBudget; !bp.IsHole && budget > 0; budget--)
        {
            ulong seq = bp.Checksum.W3;
            bool claimed = header.ClaimTxg != 0;
            if (claimed ? seq > header.ClaimBlockSeq : bp.Birth > _ctx.Pool.Uberblock.Txg)
            {
                return;
            }

            if (bp.Type != DmuOt.IntentLog || bp.Level != 0 || bp.LogicalSize > ZioBuf.MaxSize || bp.LogicalSize < WriteSize)
            {
                _ctx.Error(_dataset, 0, $"the intent log has a pointer that is none of its own: {bp}");
                return;
            }

            Blocks++;
            if (!_ctx.Refer(_dataset, 0, bp) || !Read(bp, block, out int used))
            {
                return;
            }

            Blkptr next = MemoryMarshal.Read<Blkptr>(block.AsSpan(NextOffset));
            Checksum256 expected = new(bp.Checksum.W0, bp.Checksum.W1, _objset, seq + 1);
            if (next.IsHole || !next.Checksum.Equals(expected))
            {
                return;
            }

            if (claimed)
            {
                ReferWrites(header, block, used);
            }

            bp = next;
        }
    }

    /// <summary>Reads a chain block; false at the end of the chain (a block not written yet looks like any other bytes).</summary>
    private bool Read(in Blkptr bp, byte[] block, out int used)
    {
        used = 0;
        fixed (byte* p = block)
        {
            if (bp.ChecksumType != ZioChecksumType.Zilog2 || ZioReader.ReadRaw(_ctx.Pool.Vdevs, bp.Dva0, p, bp.PhysicalSize) != 0)
            {
                return false;
            }

            ulong stated = BinaryPrimitives.ReadUInt64LittleEndian(block.AsSpan(UsedOffset));
            if (stated < ChainSize || stated > (ulong)bp.LogicalSize)
            {
                return false;
            }

            used = (int)stated;
            int written = Math.Min(bp.LogicalSize, (used + WriteSize - 1) / WriteSize * WriteSize);
            return ZioEck.Verify(ZioChecksumType.Zilog2, p, written, EckOffset, bp.Checksum);
        }
    }

    private void ReferWrites(in ZilHeader header, byte[] block, int used)
    {
        for (int at = ChainSize; at + 32 <= used;)
        {
            ReadOnlySpan<byte> record = block.AsSpan(at, used - at);
            ulong type = BinaryPrimitives.ReadUInt64LittleEndian(record) & ~(1UL << 63);
            ulong length = BinaryPrimitives.ReadUInt64LittleEndian(record[8..]);
            if (length < 32 || length % 8 != 0 || length > (ulong)record.Length)
            {
                _ctx.Error(_dataset, 0, $"the intent log has a record of {length} bytes");
                return;
            }

            if (type == TxWrite && length == 192)
            {
                Blkptr data = MemoryMarshal.Read<Blkptr>(record[64..]);
                if (!data.IsHole && data.Birth >= header.ClaimTxg)
                {
                    _ = _ctx.Refer(_dataset, 0, data);
                }
            }

            at += (int)length;
        }
    }
}
