using System.Net.Sockets;
using System.Security.Cryptography;

namespace ZfsLite.NfsHold;

/// <summary>
/// A file that is open over NFS v4.0, and what a client needs to go on after the server was restarted, which libnfs lacks: the
/// handle, and the right to reclaim the open (RFC 7530, 9.6.2). One client, one open, one call at a time.
/// </summary>
internal sealed class Nfs4File : IDisposable
{
    private const uint Program = 100003, Version = 4, CompoundProcedure = 1;
    private const uint GetAttr = 9, GetFh = 10, Lookup = 15, Open = 18, OpenConfirm = 20, PutFh = 22, PutRootFh = 24, Read = 25;
    private const uint SetClientId = 35, SetClientIdConfirm = 36, Write = 38;
    private const uint ShareBoth = 3, ClaimNull = 0, ClaimPrevious = 1, MustConfirm = 2, FileSync = 2, FileId = 20;
    private const uint Grace = 10013;
    private const uint LastFragment = 0x80000000;
    private const int PatienceSeconds = 60;
    private const string Owner = "zfslite nfshold";

    private readonly int _port;
    private TcpClient? _connection;
    private uint _call;
    private uint _sequence;
    private ulong _client;
    private byte[] _handle = [];
    private byte[] _state = [];

    /// <summary>Opens a file for reading and writing, as one of a new client. While the server waits for older ones, so does this.</summary>
    internal Nfs4File(int port, string path)
    {
        _port = port;
        Introduce();
        string[] names = path.Split('/', StringSplitOptions.RemoveEmptyEntries);
        Patiently(() =>
        {
            (Nfs4Writer Ops, uint Count) call = (new Nfs4Writer().Word(PutRootFh), 1);
            foreach (string name in names[..^1])
            {
                call.Ops.Word(Lookup).Text(name);
                call.Count++;
            }

            DoOpen(call.Ops, call.Count, ops => ops.Word(ClaimNull).Text(names[^1]));
        });
    }

    public void Dispose() => _connection?.Dispose();

    /// <summary>After the server's restart: takes the open up again, by the handle.</summary>
    internal void Reclaim()
    {
        Introduce();
        DoOpen(new Nfs4Writer().Word(PutFh).Opaque(_handle), 1, static ops => ops.Word(ClaimPrevious).Word(0));
    }

    /// <summary>The file's number. Needs nothing but the handle.</summary>
    internal ulong Number()
    {
        Nfs4Reader reply = Compound(2, new Nfs4Writer().Word(PutFh).Opaque(_handle).Word(GetAttr).Word(1).Word(1 << (int)FileId));
        Expect(reply, PutFh);
        Expect(reply, GetAttr);
        for (uint words = reply.Word(); words > 0; words--)
        {
            reply.Word();
        }

        return new Nfs4Reader(reply.Opaque()).Long();
    }

    /// <summary>The content, read by handle and open.</summary>
    internal byte[] Sum()
    {
        const uint piece = 64 << 10;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        ulong at = 0;
        for (bool end = false; !end;)
        {
            Nfs4Reader reply = Compound(2, new Nfs4Writer().Word(PutFh).Opaque(_handle).Word(Read).Fixed(_state).Long(at).Word(piece));
            Expect(reply, PutFh);
            Expect(reply, Read);
            end = reply.Word() != 0;
            byte[] data = reply.Opaque();
            hash.AppendData(data);
            at += (ulong)data.Length;
        }

        return hash.GetHashAndReset();
    }

    /// <summary>Writes at the beginning, to stable storage.</summary>
    internal void Put(byte[] data)
    {
        Nfs4Reader reply = Compound(2, new Nfs4Writer().Word(PutFh).Opaque(_handle).Word(Write).Fixed(_state).Long(0).Word(FileSync).Opaque(data));
        Expect(reply, PutFh);
        Expect(reply, Write);
        if (reply.Word() != data.Length)
        {
            throw new IOException("a short write");
        }
    }

    private static void Patiently(Action action)
    {
        DateTime end = DateTime.UtcNow.AddSeconds(PatienceSeconds);
        while (true)
        {
            try
            {
                action();
                return;
            }
            catch (Nfs4Exception e) when (e.Status == Grace && DateTime.UtcNow < end)
            {
                Thread.Sleep(500);
            }
        }
    }

    private static void Expect(Nfs4Reader reply, uint operation)
    {
        uint done = reply.Word(), status = reply.Word();
        if (status != 0 || done != operation)
        {
            throw new Nfs4Exception(status, done);
        }
    }

    /// <summary>Makes the client known. The same name each time, so that the server finds it among those it knew before.</summary>
    private void Introduce()
    {
        _connection?.Dispose();
        _connection = null;
        Nfs4Reader reply = Compound(1, new Nfs4Writer().Word(SetClientId).Fixed("fixed id"u8).Text(Owner).Word(0x40000000).Text("tcp").Text("127.0.0.1.0.0").Word(0));
        Expect(reply, SetClientId);
        _client = reply.Long();
        byte[] verifier = reply.Fixed(8);
        reply = Compound(1, new Nfs4Writer().Word(SetClientIdConfirm).Long(_client).Fixed(verifier));
        Expect(reply, SetClientIdConfirm);
        _sequence = 0;
    }

    private void DoOpen(Nfs4Writer ops, uint before, Action<Nfs4Writer> claim)
    {
        ops.Word(Open).Word(_sequence++).Word(ShareBoth).Word(0).Long(_client).Text(Owner).Word(0);
        claim(ops);
        Nfs4Reader reply = Compound(before + 2, ops.Word(GetFh));
        for (uint i = 0; i < before; i++)
        {
            reply.Word();
            uint status = reply.Word();
            if (status != 0)
            {
                throw new Nfs4Exception(status, PutFh);
            }
        }

        Expect(reply, Open);
        _state = reply.Fixed(16);
        reply.Fixed(20);
        uint flags = reply.Word();
        for (uint words = reply.Word(); words > 0; words--)
        {
            reply.Word();
        }

        if (reply.Word() != 0)
        {
            throw new IOException("a delegation that nobody asked for");
        }

        Expect(reply, GetFh);
        _handle = reply.Opaque();
        if ((flags & MustConfirm) != 0)
        {
            reply = Compound(2, new Nfs4Writer().Word(PutFh).Opaque(_handle).Word(OpenConfirm).Fixed(_state).Word(_sequence++));
            Expect(reply, PutFh);
            Expect(reply, OpenConfirm);
            _state = reply.Fixed(16);
        }
    }

    /// <summary>Sends operations; the reply, from the first result on. A connection that a server's end has broken is made anew.</summary>
    private Nfs4Reader Compound(uint count, Nfs4Writer ops)
    {
        byte[] credential = new Nfs4Writer().Word(0).Text("nfshold").Word(0).Word(0).Word(0).ToArray();
        byte[] call = new Nfs4Writer().Word(++_call).Word(0).Word(2).Word(Program).Word(Version).Word(CompoundProcedure)
            .Word(1).Opaque(credential).Long(0).Text("").Word(0).Word(count).Fixed(ops.ToArray()).ToArray();
        bool isOld = _connection is not null;
        Nfs4Reader reply;
        try
        {
            reply = Exchange(call);
        }
        catch (IOException) when (isOld)
        {
            _connection!.Dispose();
            _connection = null;
            reply = Exchange(call);
        }

        if (reply.Word() != _call || reply.Word() != 1 || reply.Word() != 0)
        {
            throw new IOException("the call was refused");
        }

        reply.Word();
        reply.Opaque();
        if (reply.Word() != 0)
        {
            throw new IOException("the call was not accepted");
        }

        // The status is that of the last result, which says it again.
        reply.Word();
        reply.Opaque();
        reply.Word();
        return reply;
    }

    private Nfs4Reader Exchange(byte[] call)
    {
        if (_connection is null)
        {
            _connection = new TcpClient { ReceiveTimeout = PatienceSeconds * 1000, SendTimeout = PatienceSeconds * 1000 };
            _connection.Connect("127.0.0.1", _port);
        }

        NetworkStream stream = _connection.GetStream();
        stream.Write(new Nfs4Writer().Word(LastFragment | (uint)call.Length).Fixed(call).ToArray());
        var message = new MemoryStream();
        byte[] mark = new byte[4];
        uint length;
        do
        {
            stream.ReadExactly(mark);
            length = new Nfs4Reader(mark).Word();
            byte[] fragment = new byte[length & ~LastFragment];
            stream.ReadExactly(fragment);
            message.Write(fragment);
        }
        while ((length & LastFragment) == 0);
        return new Nfs4Reader(message.ToArray());
    }
}
