namespace ZfsLite.Fs;

/// <summary>Takes the records that a metaslab has to append to its space map.</summary>
internal interface ISpaceMapSink
{
    /// <summary>Appends one record.</summary>
    void Append(ulong entry);
}
