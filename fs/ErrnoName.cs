using Mono.Unix.Native;

namespace ZfsLite.Fs;

/// <summary>Error numbers for people: "ENOSPC (No space left on device)".</summary>
public static class ErrnoName
{
    /// <summary>The name and the system's words for a positive errno; the bare number if the system does not know it.</summary>
    public static string Of(int errno) => NativeConvert.TryToErrno(errno, out Mono.Unix.Native.Errno value)
        ? $"{value} ({Stdlib.strerror(value)})"
        : $"errno {errno}";
}
