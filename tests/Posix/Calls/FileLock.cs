using System.Runtime.InteropServices;

namespace ZfsLite.Tests.Posix;

/// <summary>struct flock of 64-bit Linux.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
internal struct FileLock
{
    internal const short Read = 0, Write = 1, None = 2;

    [FieldOffset(0)] public short Type;
    [FieldOffset(2)] public short Whence;
    [FieldOffset(8)] public long Start;
    [FieldOffset(16)] public long Length;
    [FieldOffset(24)] public int Pid;
}
