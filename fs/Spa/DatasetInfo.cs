namespace ZfsLite.Fs;

/// <summary>One row of a listing.</summary>
/// <param name="Name">Full name.</param>
/// <param name="Object">Dataset object in the MOS.</param>
/// <param name="IsSnapshot">A snapshot.</param>
/// <param name="Used">Bytes: of the directory with all below, or unique to the snapshot.</param>
/// <param name="Available">Bytes that can still be written.</param>
/// <param name="Referenced">Bytes reachable.</param>
/// <param name="CompressRatio">Logical over stored bytes.</param>
/// <param name="CreationTime">Seconds since 1970.</param>
public sealed record DatasetInfo(
    string Name, ulong Object, bool IsSnapshot, ulong Used, ulong Available, ulong Referenced, double CompressRatio, ulong CreationTime);
