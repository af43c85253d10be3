using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// One block on its way to disk. The owner fills in the request, submits it to a <see cref="ZioPipeline"/>, keeps
/// <see cref="Data"/> valid until it is done, and may use the object again afterwards.
/// </summary>
public unsafe class ZioWrite : TaskqEntry
{
    internal ZioPipeline? Pipeline;
    internal ZioWrite? NextInOrder;
    internal byte* Scratch;
    internal bool ScratchIsPooled;
    internal int PhysicalSize;
    internal ZioCompressType StoredCompress;
    internal Checksum256 Checksum;
    internal bool IsPrepared;
    internal bool FitsInPlace;
    internal int PendingIos;

    /// <summary>The bytes, <see cref="LogicalSize"/> of them, in the arena. The owner's; not changed, and must not change.</summary>
    public byte* Data { get; set; }

    /// <summary>Bytes of the block: a multiple of 512, up to 128 KiB.</summary>
    public int LogicalSize { get; set; }

    /// <summary>Type for the block pointer.</summary>
    public DmuOt Type { get; set; }

    /// <summary>Level for the block pointer; 0: data.</summary>
    public int Level { get; set; }

    /// <summary>Checksum function; On means fletcher4.</summary>
    public ZioChecksumType ChecksumType { get; set; } = ZioChecksumType.Fletcher4;

    /// <summary>Compression; On means lzjb. Any but Off turns a block of zeros into a hole.</summary>
    public ZioCompressType Compress { get; set; } = ZioCompressType.Lzjb;

    /// <summary>Copies, 1 to 3.</summary>
    public int Copies { get; set; } = 1;

    /// <summary>The txg that the block is born in.</summary>
    public ulong Txg { get; set; }

    /// <summary>The block was written once before in this txg, as <see cref="RewriteBp"/>.</summary>
    public bool HasRewrite { get; set; }

    /// <summary>The earlier version of the block, born in the same txg.</summary>
    public Blkptr RewriteBp { get; set; }

    /// <summary>Fill count for the block pointer. Read when the block is placed.</summary>
    public ulong Fill { get; set; }

    /// <summary>Bytes to give back to the write throttle when the block is done (<see cref="ZioPipeline.UndirtySpace"/>).</summary>
    public long DirtyBytes { get; set; }

    /// <summary>Result: the block pointer, complete once the block is placed; a hole (all zero) if <see cref="BecameHole"/>.</summary>
    public Blkptr Bp { get; internal set; }

    /// <summary>Result: compression is on and the block is all zeros, so nothing is stored.</summary>
    public bool BecameHole { get; internal set; }

    /// <summary>Result: the earlier version was not overwritten in place, and <see cref="RewriteBp"/> is now the owner's to free.</summary>
    public bool RewriteReplaced { get; internal set; }

    /// <summary>Result: 0, ENOSPC, or the errno of a failed write.</summary>
    public int Error { get; internal set; }

    /// <summary>The block pointer is final, the bytes are not written yet. Runs in the thread that submits or waits, in order of
    /// submission.</summary>
    protected internal virtual void OnPlaced()
    {
    }

    /// <summary>All copies have been handed to the vdevs, or failed. Runs in any thread, for holes in the submitting one; last use
    /// of the object by the pipeline.</summary>
    protected internal virtual void OnDone()
    {
    }

    /// <inheritdoc/>
    protected sealed override void Run() => Pipeline!.PrepareInWorker(this);
}
