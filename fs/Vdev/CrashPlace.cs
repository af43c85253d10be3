namespace ZfsLite.Fs;

/// <summary>A sector whose contents a crash decides: what was there, or what any of the writes since the last flush put there.</summary>
/// <param name="Disk">Number of the disk.</param>
/// <param name="Sector">Number of the sector of 512 bytes.</param>
/// <param name="Versions">Places in the log of the writes that touched it, oldest first.</param>
public sealed record CrashPlace(int Disk, long Sector, List<int> Versions);
