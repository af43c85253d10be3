namespace ZfsLite.Fs;

/// <summary>A stream over native bytes with a fixed bound: what does not fit is dropped and remembered, not thrown.</summary>
internal sealed unsafe class NativeStream : Stream
{
    private byte* _data;
    private int _length;
    private int _position;

    /// <summary>True once a write went past the bound.</summary>
    internal bool Overflowed { get; private set; }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => _length;

    public override long Position
    {
        get => _position;
        set => throw new NotSupportedException();
    }

    /// <summary>Points the stream at other bytes.</summary>
    internal void Reset(byte* data, int length)
    {
        _data = data;
        _length = length;
        _position = 0;
        Overflowed = false;
    }

    public override int Read(Span<byte> buffer)
    {
        int n = Math.Min(buffer.Length, _length - _position);
        new ReadOnlySpan<byte>(_data + _position, n).CopyTo(buffer);
        _position += n;
        return n;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (Overflowed || buffer.Length > _length - _position)
        {
            Overflowed = true;
            return;
        }

        buffer.CopyTo(new Span<byte>(_data + _position, buffer.Length));
        _position += buffer.Length;
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
