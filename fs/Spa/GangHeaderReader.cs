namespace ZfsLite.Fs;

/// <summary>Reads a gang header: checks it and gives its children.</summary>
/// <param name="bp">A block pointer whose DVAs are gang blocks.</param>
/// <param name="children">Receives three block pointers; unused ones are holes.</param>
public delegate void GangHeaderReader(in Blkptr bp, Span<Blkptr> children);
