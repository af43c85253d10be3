using ZfsLite.Kmem;

namespace ZfsLite.Fs;

/// <summary>
/// One request in the arena: a head of two pages, and record-sized payload buffers. A message is read in one call: its first
/// 80 bytes (header and write_in) into the head, the rest into the payload buffers, so the data of a WRITE lies in whole,
/// page-aligned, record-sized buffers. A message of any other kind is made contiguous afterwards (<see cref="Message"/>):
/// its tail of at most some hundred bytes is copied behind the first 80. The end of the head holds the reply header, the
/// reply's fixed part and the iovecs. Owned by one worker at a time, or by the intent log (an FSYNC that waits for a write of it).
/// </summary>
public sealed unsafe class FuseRequest : FsyncWaiter
{
    /// <summary>Bytes of the head.</summary>
    public const int HeadBytes = 8192;

    /// <summary>Bytes of a message that land in the head: header and write_in.</summary>
    internal const int SplitBytes = 80;

    private const int LargeBytes = 32 << 10;
    private const int HeaderBytes = 40;
    private const int OutHeaderBytes = 16;
    private const int MessageMax = 7680;
    private const int ReplyOffset = MessageMax;
    private const int IovOffset = MessageMax + 256;
    private const int Record = FuseSessionOptions.RecordBytes;

    private readonly FuseSession _session;
    private byte* _head;
    private readonly byte*[] _buffers;
    private int _bufferCount;
    private bool _payloadInHead;
    private bool _replied;

    internal FuseRequest(FuseSession session, int buffersMax)
    {
        _session = session;
        _buffers = new byte*[buffersMax];
    }

    /// <summary>The request's header.</summary>
    public FuseInHeader* Header => (FuseInHeader*)_head;

    /// <summary>What is asked for.</summary>
    public FuseOpcode Opcode => ((FuseInHeader*)_head)->Opcode;

    /// <summary>Bytes of the whole message.</summary>
    public int Length { get; private set; }

    /// <summary>The message, contiguous (of a WRITE: only the first 80 bytes).</summary>
    public byte* Message { get; private set; }

    /// <summary>How many bytes of <see cref="Message"/> may be read.</summary>
    public int MessageLength { get; private set; }

    /// <summary>Bytes of payload of a WRITE.</summary>
    public int PayloadLength => Length - SplitBytes;

    /// <summary>A READ or WRITE of so many bytes that others should read meanwhile.</summary>
    internal bool IsLarge => Length >= LargeBytes || (Opcode == FuseOpcode.Read && Length >= HeaderBytes + sizeof(FuseReadIn)
        && ((FuseReadIn*)(_head + HeaderBytes))->Size >= LargeBytes);

    /// <summary>The errno that was replied; 0: success.</summary>
    public int ReplyErrno { get; private set; }

    /// <summary>True once a reply was sent, or the request needs none.</summary>
    public bool IsReplied => _replied;

    /// <summary>Room for the fixed part of a reply: 240 bytes.</summary>
    public byte* Reply => _head + ReplyOffset + OutHeaderBytes;

    /// <summary>Room for reply data: <see cref="FuseSessionOptions.MaxWrite"/> bytes in buffers of RecordBytes.</summary>
    public int DataCapacity => _bufferCount * Record;

    internal FuseRequest? Next;

    /// <summary>It is answered by a thread that is no worker.</summary>
    internal bool IsApart;

    /// <summary>What the request counts for in the budget of parked requests.</summary>
    internal long ParkedBytes;

    /// <summary>The worker that handles it.</summary>
    internal FuseSession.Worker? Worker;

    /// <summary>It has left its worker, and is not answered yet.</summary>
    internal bool IsDetached;

    /// <summary>When it began to be handled.</summary>
    internal long StartNs;

    internal byte* Head
    {
        get => _head;
        set => _head = value;
    }

    internal int BufferCount => _bufferCount;

    /// <summary>A payload or reply buffer: RecordBytes bytes, page-aligned.</summary>
    public byte* DataBuffer(int index)
    {
        if ((uint)index >= (uint)_bufferCount)
        {
            throw new InvalidOperationException($"buffer {index} of {_bufferCount}");
        }

        return _buffers[index];
    }

    /// <summary>A piece of a WRITE's payload: all pieces but the last are RecordBytes long.</summary>
    public byte* PayloadPiece(int index, out int length)
    {
        if (_payloadInHead)
        {
            length = index == 0 ? PayloadLength : 0;
            return _head + SplitBytes;
        }

        length = Math.Min(Record, PayloadLength - (index * Record));
        return DataBuffer(index);
    }

    /// <summary>Answers with an error (positive errno).</summary>
    public void ReplyError(int errno)
    {
        if (errno is <= 0 or > 511)
        {
            throw new InvalidOperationException($"errno {errno}");
        }

        ReplyErrno = errno;
        Send(0, 0);
    }

    /// <summary>Answers success with the first <paramref name="bytes"/> bytes at <see cref="Reply"/>.</summary>
    public void ReplyFixed(int bytes) => Send(bytes, 0);

    /// <summary>Answers success with no content.</summary>
    public void ReplyEmpty() => Send(0, 0);

    /// <summary>Answers success with the first <paramref name="bytes"/> bytes of the data buffers.</summary>
    public void ReplyData(int bytes)
    {
        if (bytes < 0 || bytes > DataCapacity)
        {
            throw new InvalidOperationException($"reply of {bytes} bytes");
        }

        Send(0, bytes);
    }

    /// <summary>Has the kernel send what it holds of the request's file. False if that can't be had.</summary>
    internal bool FlushPages(ulong generation) => _session.FlushPages(this, generation);

    /// <summary>The request's kind has no reply.</summary>
    public void NoReply() => _replied = true;

    /// <inheritdoc/>
    protected internal override bool TryLeave() => _session.TryDetach(this);

    /// <inheritdoc/>
    protected internal override void Done(int error)
    {
        if (error == 0)
        {
            ReplyEmpty();
        }
        else
        {
            ReplyError(error);
        }

        _session.EndDetached(this);
    }

    internal void AddBuffer(byte* buffer) => _buffers[_bufferCount++] = buffer;

    internal byte* TakeBuffer()
    {
        byte* buffer = _buffers[--_bufferCount];
        _buffers[_bufferCount] = null;
        return buffer;
    }

    /// <summary>Prepares the pieces for reading a message.</summary>
    internal Iovec* ReadPieces(out int count)
    {
        var pieces = (Iovec*)(_head + IovOffset);
        pieces[0] = new Iovec { Base = _head, Length = SplitBytes };
        for (int i = 0; i < _bufferCount; i++)
        {
            pieces[i + 1] = new Iovec { Base = _buffers[i], Length = Record };
        }

        count = _bufferCount + 1;
        return pieces;
    }

    /// <summary>Takes a message of <paramref name="length"/> bytes that was just read. False if it can't even be answered.</summary>
    internal bool Accept(int length)
    {
        Length = length;
        ReplyErrno = 0;
        _replied = false;
        _payloadInHead = false;
        Message = _head;
        if (length < HeaderBytes)
        {
            return false;
        }

        MessageLength = length;
        if (length <= SplitBytes)
        {
            return true;
        }

        int tail = length - SplitBytes;
        if (Opcode == FuseOpcode.Write)
        {
            MessageLength = SplitBytes;
        }
        else if (length <= MessageMax)
        {
            Buffer.MemoryCopy(_buffers[0], _head + SplitBytes, MessageMax - SplitBytes, tail);
        }
        else if (length <= Record)
        {
            Buffer.MemoryCopy(_buffers[0], _buffers[0] + SplitBytes, Record - SplitBytes, tail);
            Buffer.MemoryCopy(_head, _buffers[0], SplitBytes, SplitBytes);
            Message = _buffers[0];
        }
        else
        {
            // Only BATCH_FORGET grows so large, and its content is not needed.
            MessageLength = SplitBytes;
        }

        return true;
    }

    /// <summary>How many payload buffers the message lies in, after moving a small payload into the head.</summary>
    internal int Compact()
    {
        if (Message != _head)
        {
            return 1;
        }

        if (Opcode != FuseOpcode.Write || Length <= SplitBytes)
        {
            return 0;
        }

        if (!_payloadInHead && Length <= MessageMax)
        {
            Buffer.MemoryCopy(_buffers[0], _head + SplitBytes, MessageMax - SplitBytes, PayloadLength);
            _payloadInHead = true;
        }

        return _payloadInHead ? 0 : (PayloadLength + Record - 1) / Record;
    }

    private void Send(int fixedBytes, int dataBytes)
    {
        if (_replied)
        {
            throw new InvalidOperationException($"second reply to {Opcode} {Header->Unique}");
        }

        _replied = true;
        var header = (FuseOutHeader*)(_head + ReplyOffset);
        header->Length = (uint)(OutHeaderBytes + fixedBytes + dataBytes);
        header->Error = -ReplyErrno;
        header->Unique = Header->Unique;
        var pieces = (Iovec*)(_head + IovOffset);
        pieces[0] = new Iovec { Base = (byte*)header, Length = (nuint)(OutHeaderBytes + fixedBytes) };
        int count = 1;
        for (int left = dataBytes; left > 0; left -= Record)
        {
            pieces[count] = new Iovec { Base = _buffers[count - 1], Length = (nuint)Math.Min(left, Record) };
            count++;
        }

        _session.SendReply(this, pieces, count);
    }
}
