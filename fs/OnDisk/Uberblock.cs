using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>The root of a pool at one txg (uberblock_t): 168 bytes at the start of a slot of a label's ring.</summary>
[StructLayout(LayoutKind.Explicit, Size = SizeOf)]
public unsafe struct Uberblock
{
    /// <summary>Bytes that mean something.</summary>
    public const int SizeOf = 168;

    /// <summary>Magic number.</summary>
    public const ulong MagicNumber = 0x00bab10c;

    /// <summary>The magic number as a big-endian pool's appears here.</summary>
    public const ulong MagicSwapped = 0x0cb1ba0000000000;

    /// <summary>Must be <see cref="MagicNumber"/>.</summary>
    [FieldOffset(0)]
    public ulong Magic;

    /// <summary>Pool version.</summary>
    [FieldOffset(8)]
    public ulong Version;

    /// <summary>The txg that it closed.</summary>
    [FieldOffset(16)]
    public ulong Txg;

    /// <summary>Sum of the guids of all vdevs.</summary>
    [FieldOffset(24)]
    public ulong GuidSum;

    /// <summary>Unix seconds.</summary>
    [FieldOffset(32)]
    public ulong Timestamp;

    /// <summary>The MOS.</summary>
    [FieldOffset(40)]
    public Blkptr RootBp;

    /// <summary>Bytes of a slot.</summary>
    public static int SlotSize(int ashift) => Math.Max(1024, 1 << ashift);

    /// <summary>Slots in a ring.</summary>
    public static int SlotCount(int ashift) => VdevLabel.UberblockRingSize / SlotSize(ashift);

    /// <summary>Slot of a txg.</summary>
    public static int SlotFor(ulong txg, int ashift) => (int)(txg % (ulong)SlotCount(ashift));

    /// <summary>
    /// Checks a slot of <paramref name="slotSize"/> bytes that was read from byte <paramref name="deviceOffset"/> of a leaf
    /// (the bytes are changed meanwhile and restored) and gives its uberblock. A big-endian pool's fails, see
    /// <see cref="MagicSwapped"/>.
    /// </summary>
    public static bool TryRead(byte* slot, int slotSize, long deviceOffset, out Uberblock uberblock)
    {
        uberblock = *(Uberblock*)slot;
        return uberblock.Magic == MagicNumber && ZioEck.Verify(slot, slotSize, ZioEck.LabelVerifier(deviceOffset));
    }

    /// <summary>Fills a slot for byte <paramref name="deviceOffset"/> of a leaf, checksum included.</summary>
    public readonly void Emit(byte* slot, int slotSize, long deviceOffset)
    {
        new Span<byte>(slot, slotSize).Clear();
        *(Uberblock*)slot = this;
        ZioEck.Seal(slot, slotSize, ZioEck.LabelVerifier(deviceOffset));
    }

    /// <summary>True if this one is to be preferred to the other.</summary>
    public readonly bool IsNewerThan(in Uberblock other) => Txg != other.Txg ? Txg > other.Txg : Timestamp > other.Timestamp;
}
