using System.Buffers.Binary;
using Xunit;
using ZfsLite.Fs;
using ZfsLite.Fs.Tests;
using ZfsLite.TestKit;

namespace Fs.Tests.Dmu;

/// <summary>
/// A file whose tree is none: in every indirect block all pointers are the same one, so that 128^4 ways lead to one data block. To free it
/// must end with an error soon: the second time that a block comes up it is not allocated any more, or an account runs out.
/// </summary>
[Trait("Backend", "os")]
public sealed class HostileTreeTests
{
    private const int Record = 4096;
    private const int Levels = 5;
    private const int UsedAt = 24;
    private const long MostReads = 2000;
    private const string NoSize = "accounts larger than the pool, blocks of no size";
    private const ulong FarBlock = (1UL << 28) - 5;

    [Theory]
    [InlineData("honest account")]
    [InlineData("accounts larger than the pool")]
    [InlineData("accounts as large as the pool")]
    [InlineData(NoSize)]
    public void FreeingATreeOfRepeatedPointersEndsWithAnError(string kind) => Backends.Run(
        () =>
        {
            using var p = new ZplPool(recordSize: Record) { MayLeak = true };
            ulong other = p.Make(p.RootDir, "other");
            byte[] data = ZplBasicTests.RandomBytes(3, Record);
            Assert.Equal(0, p.Write(other, 0, data));
            ulong file = p.Make(p.RootDir, "hostile");
            Assert.Equal(0, p.Write(file, 0, data));
            Assert.Equal(0, p.Write(file, FarBlock * Record, data));
            ulong dataset = p.Objset.Id;
            ulong directory = p.Objset.Dataset!.Dir.Object;
            long total = p.Spa.TotalBytes;
            p.Edit(e => Plant(e, dataset, file, directory, kind, total));
            Assert.Equal(0, p.Unlink(p.RootDir, "hostile"));
            Assert.Equal(Errno.EIO, p.Spa.Sync());
            Assert.Matches("account is damaged|not allocated", p.Spa.SuspendReason);
            Assert.InRange(p.Spa.Arc.Misses, 0, MostReads);
            Assert.Equal(data, p.Read(other));
            Assert.Equal(Errno.EIO, p.Write(other, 0, data));
        },
        timeoutMs: 20_000);

    private static void Plant(PoolEditor editor, ulong dataset, ulong file, ulong directory, string kind, long poolBytes)
    {
        Assert.Equal(Levels, editor.ReadDnode(dataset, file)[2]);
        for (int level = 1; level < Levels; level++)
        {
            editor.EditIndirect(dataset, file, FarBlock, level, block =>
            {
                Span<byte> pointer = stackalloc byte[Blkptr.SizeOf];
                int at = 0;
                while (block.Slice(at, Blkptr.SizeOf).IndexOfAnyExcept((byte)0) < 0)
                {
                    at += Blkptr.SizeOf;
                }

                block.Slice(at, Blkptr.SizeOf).CopyTo(pointer);
                if (kind == NoSize && level == 1)
                {
                    // The 24 bits of each address that tell how much is allocated, in the pointers to data.
                    pointer[..3].Clear();
                }

                for (at = 0; at < block.Length; at += Blkptr.SizeOf)
                {
                    pointer.CopyTo(block[at..]);
                }
            });
        }

        if (kind.StartsWith("accounts", StringComparison.Ordinal))
        {
            // The object's, the data set's and its directory's.
            long used = kind.Contains("larger", StringComparison.Ordinal) ? 1L << 60 : poolBytes;
            editor.EditDnode(dataset, file, dn => BinaryPrimitives.WriteInt64LittleEndian(dn[UsedAt..], used));
            foreach (int at in (int[])[72, 80, 88, 96])
            {
                editor.AddToBonus(0, dataset, at, used);
            }

            foreach (int at in (int[])[40, 48, 56, 104])
            {
                editor.AddToBonus(0, directory, at, used);
            }
        }
    }
}
