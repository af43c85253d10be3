namespace ZfsLite.Fs;

/// <summary>Takes directory entries one by one, as readdir finds them.</summary>
public interface IDirFiller
{
    /// <summary>Offers an entry.</summary>
    /// <param name="name">Name, 1 to 255 bytes, no terminator; valid during the call.</param>
    /// <param name="obj">Object number.</param>
    /// <param name="type">File type as in st_mode >> 12.</param>
    /// <param name="nextCookie">Where to go on after this entry.</param>
    /// <returns>False if there was no room: the entry was not taken.</returns>
    bool Add(ReadOnlySpan<byte> name, ulong obj, int type, ulong nextCookie);
}
