namespace ZfsLite.Fs;

/// <summary>A named value.</summary>
/// <param name="Name">Name.</param>
/// <param name="Type">Type on disk.</param>
/// <param name="Value">The value, in the .NET type that goes with it.</param>
public sealed record NvPair(string Name, NvType Type, object Value);
