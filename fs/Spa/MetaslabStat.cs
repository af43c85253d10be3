namespace ZfsLite.Fs;

/// <summary>What is known of one metaslab, for reports.</summary>
/// <param name="Vdev">Top-level vdev.</param>
/// <param name="Index">Number within the vdev.</param>
/// <param name="Offset">First byte, as a DVA counts.</param>
/// <param name="Bytes">Size.</param>
/// <param name="Allocated">Allocated bytes.</param>
/// <param name="Deferred">Bytes freed but not yet to be used.</param>
/// <param name="SpaceMapObject">MOS object; 0: none yet.</param>
/// <param name="SpaceMapBytes">Bytes of records.</param>
/// <param name="IsLoaded">Its bitmap is in memory.</param>
/// <param name="Damage">Why it is not used; null if it is.</param>
public readonly record struct MetaslabStat(
    uint Vdev, int Index, ulong Offset, long Bytes, long Allocated, long Deferred, ulong SpaceMapObject, ulong SpaceMapBytes, bool IsLoaded, string? Damage);
