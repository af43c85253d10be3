using System.Runtime.InteropServices;

namespace ZfsLite.Tests.Posix;

/// <summary>Memory for direct I/O.</summary>
internal sealed unsafe class AlignedBuffer(int length) : IDisposable
{
    private readonly byte* _start = (byte*)NativeMemory.AlignedAlloc((nuint)length, 4096);

    internal Span<byte> Span => new(_start, length);

    public void Dispose() => NativeMemory.AlignedFree(_start);
}
