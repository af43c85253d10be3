using System.Runtime.CompilerServices;

namespace ZfsLite.Fs;

/// <summary>One value per txg in flight, indexed by txg &amp; 3 (TXG_SIZE).</summary>
[InlineArray(4)]
internal struct TxgSlots<T>
{
    private T _first;

    internal static int Index(ulong txg) => (int)(txg & 3);
}
