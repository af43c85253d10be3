using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>One piece of a scattered message (struct iovec).</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct Iovec
{
    /// <summary>First byte.</summary>
    public byte* Base;

    /// <summary>Bytes.</summary>
    public nuint Length;
}
