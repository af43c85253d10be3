using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>
/// A sparse disk in memory: what was never written reads as zeros and takes no room. A copy (<see cref="Clone"/>) shares its
/// chunks with the original until one of the two writes to them, so an image of a crash costs its table and what differs.
/// </summary>
public sealed unsafe class MemoryVdevIo : IVdevIo
{
    private const int ChunkShift = 12;
    private const int ChunkSize = 1 << ChunkShift;

    private readonly object _lock = new();
    private readonly Dictionary<long, Chunk> _chunks;

    // A chunk of an older epoch than the disk's may be another disk's too.
    private long _epoch;

    /// <summary>Makes a disk of zeros.</summary>
    public MemoryVdevIo(long size, string path = "memory", bool readOnly = false)
    {
        Size = size;
        Path = path;
        IsReadOnly = readOnly;
        _chunks = [];
    }

    // Under the other's lock.
    private MemoryVdevIo(MemoryVdevIo other)
    {
        Size = other.Size;
        Path = other.Path;
        IsReadOnly = other.IsReadOnly;
        _chunks = new Dictionary<long, Chunk>(other._chunks);
        _epoch = other._epoch;
    }

    /// <inheritdoc/>
    public long Size { get; }

    /// <inheritdoc/>
    public string Path { get; }

    /// <inheritdoc/>
    public bool IsReadOnly { get; }

    /// <summary>Bytes of memory in use.</summary>
    public long AllocatedBytes => (long)_chunks.Count << ChunkShift;

    /// <summary>How often it was written to, or cleared.</summary>
    internal long Writes { get; private set; }

    /// <summary>A copy with the same contents, which goes its own way from here on.</summary>
    public MemoryVdevIo Clone()
    {
        lock (_lock)
        {
            _epoch++;
            return new MemoryVdevIo(this);
        }
    }

    /// <summary>A disk with the contents of a stream; chunks of zeros take no room.</summary>
    public static MemoryVdevIo Load(Stream source, string path = "memory")
    {
        var chunks = new List<byte[]?>();
        long size = 0;
        while (true)
        {
            var chunk = new byte[ChunkSize];
            int n = source.ReadAtLeast(chunk, ChunkSize, throwOnEndOfStream: false);
            if (n == 0)
            {
                break;
            }

            chunks.Add(chunk.AsSpan().ContainsAnyExcept((byte)0) ? chunk : null);
            size += n;
        }

        var disk = new MemoryVdevIo(size, path);
        for (int i = 0; i < chunks.Count; i++)
        {
            if (chunks[i] is { } chunk)
            {
                disk._chunks.Add(i, new Chunk(chunk, 0));
            }
        }

        return disk;
    }

    /// <summary>Writes the contents to an empty stream that can seek; in a file, what was never written is a hole.</summary>
    public void Save(Stream target)
    {
        target.SetLength(Size);
        for (long at = 0; at < Size; at += ChunkSize)
        {
            byte[]? chunk;
            lock (_lock)
            {
                chunk = _chunks.GetValueOrDefault(at >> ChunkShift).Bytes;
            }

            if (chunk is not null)
            {
                target.Position = at;
                target.Write(chunk, 0, (int)Math.Min(ChunkSize, Size - at));
            }
        }
    }

    /// <inheritdoc/>
    public int Read(long offset, byte* buffer, int length)
    {
        if (offset < 0 || length < 0 || offset > Size - length)
        {
            return Errno.EIO;
        }

        lock (_lock)
        {
            while (length > 0)
            {
                int at = (int)(offset & (ChunkSize - 1));
                int n = Math.Min(length, ChunkSize - at);
                var target = new Span<byte>(buffer, n);
                if (_chunks.TryGetValue(offset >> ChunkShift, out Chunk chunk))
                {
                    chunk.Bytes.AsSpan(at, n).CopyTo(target);
                }
                else
                {
                    target.Clear();
                }

                buffer += n;
                offset += n;
                length -= n;
            }
        }

        return 0;
    }

    /// <inheritdoc/>
    public int Write(long offset, ReadOnlySpan<IoSegment> segments)
    {
        if (IsReadOnly)
        {
            return Errno.EBADF;
        }

        lock (_lock)
        {
            Writes++;
        }

        foreach (IoSegment s in segments)
        {
            int error = WriteOne(offset, (byte*)s.Data, s.Length);
            if (error != 0)
            {
                return error;
            }

            offset += s.Length;
        }

        return 0;
    }

    /// <inheritdoc/>
    public int WriteThrough(long offset, ReadOnlySpan<IoSegment> segments) => Write(offset, segments);

    /// <inheritdoc/>
    public int Flush() => 0;

    /// <inheritdoc/>
    public void Discard(long offset, long length)
    {
        lock (_lock)
        {
            Writes++;
            long first = (offset + ChunkSize - 1) >> ChunkShift;
            long end = (offset + length) >> ChunkShift;
            for (long at = first; at < end; at++)
            {
                _ = _chunks.Remove(at);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private int WriteOne(long offset, byte* data, int length)
    {
        if (offset < 0 || length < 0 || offset > Size - length)
        {
            return Errno.EIO;
        }

        lock (_lock)
        {
            while (length > 0)
            {
                int at = (int)(offset & (ChunkSize - 1));
                int n = Math.Min(length, ChunkSize - at);
                new ReadOnlySpan<byte>(data, n).CopyTo(OwnChunk(offset >> ChunkShift).AsSpan(at));
                data += n;
                offset += n;
                length -= n;
            }
        }

        return 0;
    }

    /// <summary>A chunk that no other disk shares.</summary>
    private byte[] OwnChunk(long number)
    {
        ref Chunk chunk = ref CollectionsMarshal.GetValueRefOrAddDefault(_chunks, number, out bool there);
        if (!there)
        {
            chunk = new Chunk(new byte[ChunkSize], _epoch);
        }
        else if (chunk.Epoch != _epoch)
        {
            chunk = new Chunk(chunk.Bytes.AsSpan().ToArray(), _epoch);
        }

        return chunk.Bytes;
    }

    private readonly record struct Chunk(byte[] Bytes, long Epoch);
}
