using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>A range held or waited for in a <see cref="RangeLock"/>. Pooled.</summary>
internal sealed class RangeLockEntry
{
    internal ulong Start;
    internal ulong End;
    internal bool IsWriter;
    internal Kthread? Owner;
    internal RangeLockEntry? Next;
}
