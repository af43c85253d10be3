using System.Buffers.Binary;
using System.Text;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;
using ZfsLite.TestKit;

namespace Fs.Tests;

/// <summary>
/// Plays the kernel on a transport in memory: builds requests byte by byte, collects replies by their number. It has the
/// arena of its own, of which nothing may be left allocated at the end.
/// </summary>
internal sealed class FuseClient : IDisposable
{
    private const uint AllFlags = 0x73fffffb;
    private const long PatienceNs = 20_000_000_000;

    private readonly Dictionary<ulong, byte[]> _replies = [];
    private readonly StringWriter _log = new();
    private readonly KmemScope _memory = new(24 << 20);
    private readonly Action? _end;
    private bool _disposed;
    private ulong _unique;

    internal FuseClient(IFuseFileSystem fs, FuseSessionOptions? options = null, bool initialise = true)
    {
        options ??= new FuseSessionOptions { MaxWrite = 256 << 10, MaxWorkers = 4, BufferBytesMax = 4 << 20, Log = _log };
        Session = new FuseSession(Transport, new FuseDispatcher(fs, _log, options.WritebackCache), options);
        Session.Start();
        if (initialise)
        {
            InitReply = Call(FuseOpcode.Init, 0, InitBody(7, 45, AllFlags, 0x5fd));
        }
    }

    /// <summary>As the other, for a file system that needs the arena.</summary>
    /// <param name="make">Makes it.</param>
    /// <param name="end">Ends it, when the session has ended.</param>
    /// <param name="options">How the session uses memory and threads.</param>
    internal FuseClient(Func<IFuseFileSystem> make, Action end, FuseSessionOptions? options = null)
    {
        _end = end;
        options ??= new FuseSessionOptions { MaxWrite = 256 << 10, MaxWorkers = 4, BufferBytesMax = 4 << 20, Log = _log };
        Session = new FuseSession(Transport, new FuseDispatcher(make(), _log, options.WritebackCache), options);
        Session.Start();
        InitReply = Call(FuseOpcode.Init, 0, InitBody(7, 45, AllFlags, 0x5fd));
    }

    internal MemoryFuseTransport Transport { get; } = new();

    internal FuseSession Session { get; }

    internal (int Error, byte[] Body) InitReply { get; }

    internal string Log => _log.ToString();

    internal static byte[] InitBody(uint major, uint minor, uint flags, uint flags2)
    {
        byte[] body = new byte[64];
        BinaryPrimitives.WriteUInt32LittleEndian(body, major);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(4), minor);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(8), 131072);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(12), flags);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(16), flags2);
        return body;
    }

    /// <summary>A string with its terminator.</summary>
    internal static byte[] Z(string text) => Encoding.UTF8.GetBytes(text + "\0");

    /// <summary>Little-endian words of 4 bytes.</summary>
    internal static byte[] U32(params uint[] words) => [.. words.SelectMany(BitConverter.GetBytes)];

    /// <summary>Little-endian words of 8 bytes.</summary>
    internal static byte[] U64(params ulong[] words) => [.. words.SelectMany(BitConverter.GetBytes)];

    internal static byte[] WriteBody(ulong offset, byte[] data, uint flags = 0) =>
        [.. U64(0, offset), .. U32((uint)data.Length, flags), .. U64(0), .. U32(0, 0), .. data];

    internal static byte[] ReadBody(ulong offset, uint size, ulong handle = 0) => [.. U64(handle, offset), .. U32(size, 0), .. U64(0), .. U32(0, 0)];

    internal static byte[] Message(FuseOpcode opcode, ulong unique, ulong node, byte[] body)
    {
        byte[] message = new byte[40 + body.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, (uint)message.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), (uint)opcode);
        BinaryPrimitives.WriteUInt64LittleEndian(message.AsSpan(8), unique);
        BinaryPrimitives.WriteUInt64LittleEndian(message.AsSpan(16), node);
        body.CopyTo(message, 40);
        return message;
    }

    /// <summary>Sends a request and does not wait.</summary>
    internal ulong Send(FuseOpcode opcode, ulong node, params byte[][] body)
    {
        ulong unique = ++_unique;
        Transport.Submit(Message(opcode, unique, node, [.. body.SelectMany(b => b)]));
        return unique;
    }

    /// <summary>Waits for the reply to a request: its errno (0 or positive) and what follows the header.</summary>
    internal (int Error, byte[] Body) Receive(ulong unique, long patienceNs = PatienceNs)
    {
        long deadline = Kclock.NowNs + patienceNs;
        byte[]? reply;
        while (!_replies.Remove(unique, out reply))
        {
            byte[] next = Transport.TakeReply(deadline) ?? throw new TimeoutException($"no reply to {unique}; log: {Log}");
            if (BinaryPrimitives.ReadUInt32LittleEndian(next) != next.Length)
            {
                throw new InvalidDataException("the length in the reply's header is wrong");
            }

            _replies.Add(BinaryPrimitives.ReadUInt64LittleEndian(next.AsSpan(8)), next);
        }

        return (-BinaryPrimitives.ReadInt32LittleEndian(reply.AsSpan(4)), reply[16..]);
    }

    /// <summary>True if a reply is there now.</summary>
    internal bool HasReply(ulong unique)
    {
        while (Transport.TakeReply(Kclock.NowNs) is { } next)
        {
            _replies.Add(BinaryPrimitives.ReadUInt64LittleEndian(next.AsSpan(8)), next);
        }

        return _replies.ContainsKey(unique);
    }

    internal (int Error, byte[] Body) Call(FuseOpcode opcode, ulong node, params byte[][] body) => Receive(Send(opcode, node, body));

    /// <summary>Creates a file; returns its node id.</summary>
    internal ulong CreateFile(string name, ulong dir = 1)
    {
        (int error, byte[] body) = Call(FuseOpcode.Create, dir, U32(2, 0x1A4, 0, 0), Z(name));
        return error == 0 ? BitConverter.ToUInt64(body) : throw new InvalidOperationException($"create: errno {error}");
    }

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        Transport.Unmount();
        if (!Session.WaitEnded(Kclock.NowNs + PatienceNs))
        {
            _memory.Failed = true;
            throw new TimeoutException("the session did not end");
        }

        try
        {
            _end?.Invoke();
        }
        catch
        {
            _memory.Failed = true;
            throw;
        }
        finally
        {
            _memory.Dispose();
        }
    }
}
