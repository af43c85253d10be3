using System.Runtime.InteropServices;

namespace ZfsLite.Tests.Posix;

/// <summary>readdir(3) with its positions. Names as bytes.</summary>
internal sealed unsafe class DirectoryStream : IDisposable
{
    private readonly nint _dir;

    internal DirectoryStream(string path)
    {
        _dir = Libc.OpenDir(path);
        if (_dir == 0)
        {
            throw new IOException($"opendir {path}: {E.Name(-Marshal.GetLastPInvokeError())}");
        }
    }

    internal long Position
    {
        get => Libc.TellDir(_dir);
        set => Libc.SeekDir(_dir, value);
    }

    /// <summary>The next entry, or null.</summary>
    internal (byte[] Name, ulong Inode, byte Type)? Next()
    {
        const int typeAt = 18, nameAt = 19;
        byte* entry = Libc.ReadDir(_dir);
        return entry is null ? null : (MemoryMarshal.CreateReadOnlySpanFromNullTerminated(entry + nameAt).ToArray(), *(ulong*)entry, entry[typeAt]);
    }

    /// <summary>The next entry's name as text, or null.</summary>
    internal string? NextName() => Next() is { } entry ? System.Text.Encoding.UTF8.GetString(entry.Name) : null;

    internal void Rewind() => Libc.RewindDir(_dir);

    internal static List<(byte[] Name, ulong Inode, byte Type)> All(string path)
    {
        using var stream = new DirectoryStream(path);
        List<(byte[], ulong, byte)> all = [];
        while (stream.Next() is { } entry)
        {
            all.Add(entry);
        }

        return all;
    }

    public void Dispose() => _ = Libc.CloseDir(_dir);
}
