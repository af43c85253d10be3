namespace ZfsLite.Fs;

/// <summary>Reads the arguments of a message one after another, never past its end.</summary>
internal unsafe ref struct FuseArgs
{
    private const int HeaderBytes = 40;

    private readonly byte* _end;
    private byte* _at;

    internal FuseArgs(FuseRequest request)
    {
        _at = request.Message + HeaderBytes;
        _end = request.Message + request.MessageLength;
    }

    /// <summary>The fixed part. False: the message is too short.</summary>
    internal bool Take<T>(out T* value)
        where T : unmanaged
    {
        value = (T*)_at;
        if (_end - _at < sizeof(T))
        {
            return false;
        }

        _at += sizeof(T);
        return true;
    }

    /// <summary>A terminated string. False: no terminator.</summary>
    internal bool TakeString(out ReadOnlySpan<byte> text)
    {
        var rest = new ReadOnlySpan<byte>(_at, (int)Math.Max(0, _end - _at));
        int length = rest.IndexOf((byte)0);
        text = length < 0 ? default : rest[..length];
        _at += length + 1;
        return length >= 0;
    }

    /// <summary>So many bytes. False: the message is too short.</summary>
    internal bool TakeBytes(uint count, out ReadOnlySpan<byte> bytes)
    {
        bytes = default;
        if (_end - _at < count)
        {
            return false;
        }

        bytes = new ReadOnlySpan<byte>(_at, (int)count);
        _at += count;
        return true;
    }

    /// <summary>A file name: terminated, not empty, at most 255 bytes, no slash.</summary>
    /// <returns>0, EINVAL or ENAMETOOLONG.</returns>
    internal int TakeName(out ReadOnlySpan<byte> name)
    {
        if (!TakeString(out name) || name.Length == 0 || name.Contains((byte)'/'))
        {
            return Errno.EINVAL;
        }

        return name.Length > (int)Zfsvfs.MaxNameLength ? Errno.ENAMETOOLONG : 0;
    }

    /// <summary>A name to be made or removed: not "." or "..".</summary>
    internal int TakeNewName(out ReadOnlySpan<byte> name)
    {
        int error = TakeName(out name);
        return error == 0 && (name.SequenceEqual("."u8) || name.SequenceEqual(".."u8)) ? Errno.EINVAL : error;
    }
}
