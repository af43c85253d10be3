namespace ZfsLite.Fs;

/// <summary>What a write pipeline has done so far.</summary>
/// <param name="Blocks">Blocks submitted.</param>
/// <param name="LogicalBytes">Their bytes before compression.</param>
/// <param name="Holes">Blocks that turned out to be all zeros.</param>
/// <param name="Compressed">Blocks stored compressed.</param>
/// <param name="InPlace">Blocks written over their earlier version of the same txg.</param>
/// <param name="Ios">Copies written.</param>
/// <param name="Calls">Write calls to vdevs that they were gathered into.</param>
/// <param name="BytesWritten">Bytes of those calls, padding included.</param>
/// <param name="InTurn">Blocks compressed one at a time, in the buffer set aside, for want of memory.</param>
public readonly record struct ZioPipelineStats(
    long Blocks, long LogicalBytes, long Holes, long Compressed, long InPlace, long Ios, long Calls, long BytesWritten, long InTurn);
