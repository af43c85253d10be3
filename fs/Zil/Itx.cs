using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>A change that the log may have to tell of (itx_t), in the arena: this head, then its <see cref="ZilRecord"/>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Itx
{
    /// <summary>Next in its list.</summary>
    internal Itx* Next;

    /// <summary>In the first of an object's list: the first of the next object in the bucket.</summary>
    internal Itx* ChainNext;

    /// <summary>In the first of an object's list: its last.</summary>
    internal Itx* ChainTail;

    /// <summary>The object whose list it is in.</summary>
    internal ulong Object;

    /// <summary>Bytes of memory, this head included.</summary>
    internal long Bytes;

    /// <summary>Bytes of this record and those after it that go into one block of the log with it; 0: it alone.</summary>
    internal long Together;

    internal static ZilRecord* RecordOf(Itx* itx) => (ZilRecord*)(itx + 1);
}
