using System.Runtime.InteropServices;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.TestKit;

/// <content>Data: chunks of native memory, holes where there is none.</content>
public sealed unsafe partial class MemFs
{
    /// <inheritdoc/>
    public int Read(ulong obj, ulong offset, int length, byte* destination, out int done, bool noAtime = false)
    {
        OnRead?.Invoke();
        done = 0;
        _tree.EnterRead();
        if (Find(obj) is not { } node)
        {
            _tree.Exit();
            return Errno.ENOENT;
        }

        node.Lock.EnterRead();
        done = offset >= node.Attr.Size ? 0 : (int)Math.Min((ulong)length, node.Attr.Size - offset);
        for (int at = 0; at < done;)
        {
            (int index, int inside, int n) = Piece(offset, at, done);
            byte* chunk = index < node.Chunks.Count ? (byte*)node.Chunks[index] : null;
            if (chunk is null)
            {
                new Span<byte>(destination + at, n).Clear();
            }
            else
            {
                Buffer.MemoryCopy(chunk + inside, destination + at, n, n);
            }

            at += n;
        }

        node.Lock.Exit();
        _tree.Exit();
        return 0;
    }

    /// <inheritdoc/>
    public int Write(ulong obj, ulong offset, int length, byte* source, ZplWriteFlags flags, out int done)
    {
        OnWrite?.Invoke();
        done = 0;
        if (offset + (ulong)length > SizeMax)
        {
            return Errno.EFBIG;
        }

        _tree.EnterRead();
        if (Find(obj) is not { } node)
        {
            _tree.Exit();
            return Errno.ENOENT;
        }

        node.Lock.EnterWrite();
        for (int at = 0; at < length;)
        {
            (int index, int inside, int n) = Piece(offset, at, length);
            Buffer.MemoryCopy(source + at, Backed(node, index) + inside, n, n);
            at += n;
        }

        node.Attr.Size = Math.Max(node.Attr.Size, offset + (ulong)length);
        Kill(node, (flags & ZplWriteFlags.KillSuidgid) != 0);
        Touch(node, true);
        node.Lock.Exit();
        _tree.Exit();
        done = length;
        return 0;
    }

    /// <inheritdoc/>
    public int Fsync(ulong obj, FsyncWaiter? waiter = null)
    {
        Katomic.Increment(ref Syncs);
        return 0;
    }

    /// <inheritdoc/>
    public int Fallocate(ulong obj, int mode, ulong offset, ulong length)
    {
        const int keepSize = 1, punch = 2, zero = 16;
        if ((mode & ~(keepSize | punch | zero)) != 0)
        {
            return Errno.EOPNOTSUPP;
        }

        if (offset + length > SizeMax)
        {
            return Errno.EFBIG;
        }

        _tree.EnterWrite();
        try
        {
            if (Find(obj) is not { } node)
            {
                return Errno.ENOENT;
            }

            if ((mode & (punch | zero)) != 0)
            {
                ClearRange(node, offset, Math.Min(offset + length, node.Attr.Size));
            }

            if ((mode & keepSize) == 0 && offset + length > node.Attr.Size)
            {
                node.Attr.Size = offset + length;
            }

            Touch(node, true);
            return 0;
        }
        finally
        {
            _tree.Exit();
        }
    }

    /// <inheritdoc/>
    public int Seek(ulong obj, int whence, ulong offset, out ulong result)
    {
        _tree.EnterRead();
        result = 0;
        Node? node = Find(obj);
        int error = node is null ? Errno.ENOENT : offset >= node.Attr.Size ? Errno.ENXIO : 0;
        if (error == 0)
        {
            bool wantData = whence == 3;
            ulong at = offset;
            while (at < node!.Attr.Size && HasData(node, at) != wantData)
            {
                bool pastChunks = at / Chunk >= (ulong)node.Chunks.Count;
                at = pastChunks ? node.Attr.Size : ((at / Chunk) + 1) * Chunk;
            }

            error = at >= node.Attr.Size && wantData ? Errno.ENXIO : 0;
            result = Math.Min(at, node.Attr.Size);
        }

        _tree.Exit();
        return error;
    }

    private static (int Index, int Inside, int Length) Piece(ulong offset, int at, int end)
    {
        ulong position = offset + (ulong)at;
        int inside = (int)(position % Chunk);
        return ((int)(position / Chunk), inside, Math.Min(end - at, Chunk - inside));
    }

    private static byte* Backed(Node node, int index)
    {
        while (node.Chunks.Count <= index)
        {
            node.Chunks.Add(0);
        }

        if (node.Chunks[index] == 0)
        {
            node.Chunks[index] = (nint)NativeMemory.AllocZeroed(Chunk);
            node.Attr.Blocks += Chunk / 512;
        }

        return (byte*)node.Chunks[index];
    }

    private static bool HasData(Node node, ulong at) => at / Chunk < (ulong)node.Chunks.Count && node.Chunks[(int)(at / Chunk)] != 0;

    private static void FreeChunk(Node node, int index)
    {
        if (node.Chunks[index] != 0)
        {
            NativeMemory.Free((void*)node.Chunks[index]);
            node.Chunks[index] = 0;
            node.Attr.Blocks -= Chunk / 512;
        }
    }

    private static void ClearRange(Node node, ulong from, ulong to)
    {
        to = Math.Min(to, (ulong)node.Chunks.Count * Chunk);
        for (ulong at = from; at < to;)
        {
            int index = (int)(at / Chunk);
            int inside = (int)(at % Chunk);
            ulong n = Math.Min(to - at, (ulong)(Chunk - inside));
            if (index < node.Chunks.Count && node.Chunks[index] != 0)
            {
                if (n == Chunk)
                {
                    FreeChunk(node, index);
                }
                else
                {
                    new Span<byte>((byte*)node.Chunks[index] + inside, (int)n).Clear();
                }
            }

            at += n;
        }
    }

    private static void Resize(Node node, ulong size)
    {
        node.Lock.EnterWrite();
        if (size < node.Attr.Size)
        {
            ulong end = ((node.Attr.Size + Chunk - 1) / Chunk) * Chunk;
            ClearRange(node, size, end);
        }

        node.Attr.Size = size;
        node.Lock.Exit();
    }
}
