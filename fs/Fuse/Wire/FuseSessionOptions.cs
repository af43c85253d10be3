using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>How a session uses memory and threads.</summary>
public sealed class FuseSessionOptions
{
    /// <summary>Bytes of one payload buffer: the largest record.</summary>
    public const int RecordBytes = 128 << 10;

    /// <summary>Largest WRITE and READ, bytes: a multiple of <see cref="RecordBytes"/>, at most 1 MiB.</summary>
    public int MaxWrite { get; init; } = RecordBytes;

    /// <summary>Most worker threads, at least 3.</summary>
    public int MaxWorkers { get; init; } = 4;

    /// <summary>Most bytes of the arena that workers and deferred requests hold together.</summary>
    public long BufferBytesMax { get; init; } = 4 << 20;

    /// <summary>Use the kernel's writeback cache.</summary>
    public bool WritebackCache { get; init; } = true;

    /// <summary>Where each request is traced, or null.</summary>
    public TextWriter? Trace { get; init; }

    /// <summary>Where trouble is reported, or null.</summary>
    public TextWriter? Log { get; init; }

    /// <summary>
    /// Sizes from the arena: payloads of at most 1/64 of it (so that one request is no large part of memory), all FUSE
    /// buffers together at most 1/10, of which workers take at most two thirds and deferred requests the rest.
    /// </summary>
    public static FuseSessionOptions ForArena(TextWriter? trace = null, TextWriter? log = null, bool writebackCache = true)
    {
        long arena = KmemSystem.Current.ArenaBytes;
        int maxWrite = (int)Math.Clamp(arena / 64 / RecordBytes * RecordBytes, RecordBytes, 1 << 20);
        long share = arena / 10;
        int workers = (int)Math.Clamp(share * 2 / 3 / (maxWrite + FuseRequest.HeadBytes), 3, 16);
        return new FuseSessionOptions
        {
            MaxWrite = maxWrite,
            MaxWorkers = workers,
            BufferBytesMax = Math.Max(share, (long)(workers + 1) * (maxWrite + FuseRequest.HeadBytes)),
            Trace = trace,
            Log = log,
            WritebackCache = writebackCache,
        };
    }
}
