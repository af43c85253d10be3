namespace ZfsLite.Fs.Tests;

/// <summary>A space map in memory.</summary>
internal sealed class EntryLog : ISpaceMapSink
{
    internal List<ulong> Entries { get; } = [];

    public void Append(ulong entry) => Entries.Add(entry);
}
