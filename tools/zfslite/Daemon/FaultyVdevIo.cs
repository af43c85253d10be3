using ZfsLite.Fs;

namespace ZfsLite.Cli;

/// <summary>
/// For tests of what a mount does when its devices fail: while a file is there, writes and flushes fail with EIO, or, if it says "hang",
/// do not come back; if it says "only" and a path, those of that device. Named by ZFSLITE_TEST_FAIL_IO.
/// </summary>
internal sealed unsafe class FaultyVdevIo(IVdevIo device, string file) : IVdevIo
{
    private const int LookMs = 20;

    public long Size => device.Size;

    public string Path => device.Path;

    public bool IsReadOnly => device.IsReadOnly;

    public string? Broken => device.Broken;

    /// <summary>The device itself, or as the test wants it.</summary>
    internal static IVdevIo Wrap(IVdevIo device) =>
        Environment.GetEnvironmentVariable("ZFSLITE_TEST_FAIL_IO") is { Length: > 0 } file ? new FaultyVdevIo(device, file) : device;

    public int Read(long offset, byte* buffer, int length) => device.Read(offset, buffer, length);

    public int Write(long offset, ReadOnlySpan<IoSegment> segments) => Fails() ? Errno.EIO : device.Write(offset, segments);

    public int WriteThrough(long offset, ReadOnlySpan<IoSegment> segments) => Fails() ? Errno.EIO : device.WriteThrough(offset, segments);

    public int Flush() => Fails() ? Errno.EIO : device.Flush();

    public void Renew() => device.Renew();

    public void Discard(long offset, long length) => device.Discard(offset, length);

    public void Dispose() => device.Dispose();

    private bool Fails()
    {
        try
        {
            string text = File.ReadAllText(file);
            for (; text.StartsWith("hang", StringComparison.Ordinal); text = File.ReadAllText(file))
            {
                Thread.Sleep(LookMs);
            }

            return !text.StartsWith("only ", StringComparison.Ordinal) || text["only ".Length..] == Path;
        }
        catch (FileNotFoundException)
        {
            return false;
        }
    }
}
