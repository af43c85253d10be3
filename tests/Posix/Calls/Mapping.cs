using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>
/// A mapped file. Bytes are copied outside the runtime: a page fault must not stop a thread that the collector would wait for,
/// when the file system's daemon lives in this very process.
/// </summary>
internal sealed unsafe class Mapping : IDisposable
{
    private const int ReadWrite = 3, Shared = 1, Private = 2, MsSync = 4;

    private readonly nint _address;
    private readonly int _length;

    internal Mapping(int fd, int length, bool isShared, int protection = ReadWrite)
    {
        _length = length;
        _address = Sys.Mmap((nuint)length, protection, isShared ? Shared : Private, fd);
        Assert.True(_address is > 0 or < -4096, $"mmap gave {E.Name((long)_address)}");
    }

    internal byte[] Read(int offset, int count)
    {
        byte[] data = new byte[count];
        fixed (byte* p = data)
        {
            Libc.MemCopy(p, (byte*)_address + offset, (nuint)count);
        }

        return data;
    }

    internal void Write(int offset, ReadOnlySpan<byte> data)
    {
        fixed (byte* p = data)
        {
            Libc.MemCopy((byte*)_address + offset, p, (nuint)data.Length);
        }
    }

    internal void Sync() => Assert.Equal(0, Sys.Result(Libc.Msync(_address, (nuint)_length, MsSync)));

    public void Dispose() => Assert.Equal(0, Sys.Result(Libc.Munmap(_address, (nuint)_length)));
}
