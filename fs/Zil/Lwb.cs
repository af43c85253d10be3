using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>A block of the log that is allocated (lwb_t), in the arena.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Lwb
{
    /// <summary>The one after it in the chain.</summary>
    internal Lwb* Next;

    /// <summary>Where it is.</summary>
    internal Blkptr Bp;

    /// <summary>When this txg is on disk the block is no longer needed.</summary>
    internal ulong MaxTxg;

    /// <summary>Not 0: its bytes have been given to the device.</summary>
    internal int Written;
}
