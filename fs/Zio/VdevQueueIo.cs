namespace ZfsLite.Fs;

/// <summary>One copy of one block, waiting to be written.</summary>
/// <param name="Offset">Byte offset on the vdev, as a DVA counts.</param>
/// <param name="Sequence">Order of arrival: of two writes to one place the later wins.</param>
/// <param name="Data">The bytes.</param>
/// <param name="Length">How many.</param>
/// <param name="Padded">Bytes to write: what <paramref name="Length"/> lacks is zeros.</param>
/// <param name="Owner">The block.</param>
internal readonly record struct VdevQueueIo(ulong Offset, long Sequence, nint Data, int Length, int Padded, ZioWrite Owner) : IComparable<VdevQueueIo>
{
    public int CompareTo(VdevQueueIo other) => Offset != other.Offset ? Offset.CompareTo(other.Offset) : Sequence.CompareTo(other.Sequence);
}
