using System.Runtime.InteropServices;

namespace ZfsLite.NfsHold;

/// <summary>Calls of libnfs. Those that return int give 0 or more, or the errno as a negative number.</summary>
internal static unsafe partial class LibNfs
{
    private const string Library = "libnfs.so.13";

    [LibraryImport(Library, EntryPoint = "nfs_init_context")]
    internal static partial nint InitContext();

    [LibraryImport(Library, EntryPoint = "nfs_set_timeout")]
    internal static partial void SetTimeout(nint nfs, int milliseconds);

    /// <summary>How often a lost connection is made anew: -1: always.</summary>
    [LibraryImport(Library, EntryPoint = "nfs_set_autoreconnect")]
    internal static partial void SetAutoReconnect(nint nfs, int times);

    /// <summary>Takes port numbers and version over into the context.</summary>
    [LibraryImport(Library, EntryPoint = "nfs_parse_url_dir", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial Url* ParseUrlDir(nint nfs, string url);

    [LibraryImport(Library, EntryPoint = "nfs_mount")]
    internal static partial int Mount(nint nfs, nint server, nint path);

    [LibraryImport(Library, EntryPoint = "nfs_open", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(nint nfs, string path, int flags, out nint file);

    [LibraryImport(Library, EntryPoint = "nfs_pread")]
    internal static partial int Read(nint nfs, nint file, ulong offset, ulong count, byte* buffer);

    [LibraryImport(Library, EntryPoint = "nfs_pwrite")]
    internal static partial int Write(nint nfs, nint file, ulong offset, ulong count, byte* buffer);

    /// <summary>Asks for the attributes, by the handle. Takes room for a struct of 18 numbers of 64 bits.</summary>
    [LibraryImport(Library, EntryPoint = "nfs_fstat64")]
    internal static partial int Stat(nint nfs, nint file, ulong* attributes);

    [LibraryImport(Library, EntryPoint = "nfs_get_error")]
    internal static partial nint Error(nint nfs);

    /// <summary>The parts of a URL, each a string of C.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal readonly record struct Url(nint Server, nint Path, nint File);
}
