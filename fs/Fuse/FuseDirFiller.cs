namespace ZfsLite.Fs;

/// <summary>
/// Packs directory entries into a reply buffer, for READDIR as they are, for READDIRPLUS with room for attributes in front,
/// which the dispatcher fills in afterwards, when no lock of the directory is held. One per thread, reused.
/// </summary>
internal sealed unsafe class FuseDirFiller : IDirFiller
{
    private byte* _buffer;
    private int _room;
    private int _headBytes;

    /// <summary>Bytes packed so far.</summary>
    internal int Used { get; private set; }

    /// <summary>True if an entry was offered that did not fit.</summary>
    internal bool IsFull { get; private set; }

    /// <inheritdoc/>
    public bool Add(ReadOnlySpan<byte> name, ulong obj, int type, ulong nextCookie)
    {
        int record = Align(_headBytes + sizeof(FuseDirent) + name.Length);
        if (record > _room - Used)
        {
            IsFull = true;
            return false;
        }

        byte* at = _buffer + Used;
        new Span<byte>(at, record).Clear();
        var dirent = (FuseDirent*)(at + _headBytes);
        dirent->Ino = obj;
        dirent->NextOffset = nextCookie;
        dirent->NameLength = (uint)name.Length;
        dirent->Type = (uint)type;
        name.CopyTo(new Span<byte>((byte*)dirent + sizeof(FuseDirent), name.Length));
        Used += record;
        return true;
    }

    internal static int Align(int bytes) => (bytes + 7) & ~7;

    internal void Reset(byte* buffer, int room, bool plus)
    {
        _buffer = buffer;
        _room = room;
        _headBytes = plus ? sizeof(FuseEntryOut) : 0;
        Used = 0;
        IsFull = false;
    }
}
