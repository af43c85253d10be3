using System.Text;
using BenchmarkDotNet.Attributes;
using ZfsLite.Fs;
using ZfsLite.Kmem;

namespace ZfsLite.Bench.Fs;

/// <summary>
/// What a FUSE read, write, lookup or getattr costs below the wire, on a pool in memory; the column "Allocated" is the GC heap's
/// share and must stay at zero in the steady state, the sync thread's work included.
/// </summary>
public unsafe class HotPathBenchmarks
{
    private const int FileBytes = 16 << 20;

    private Spa _spa = null!;
    private Objset _os = null!;
    private Zfsvfs _fs = null!;
    private ulong _file;
    private byte* _buffer;
    private ulong _at;
    private readonly byte[] _name = Encoding.UTF8.GetBytes("file");

    /// <summary>Bytes of one request.</summary>
    [Params(4096, 131072)]
    public int Size { get; set; }

    /// <summary>A pool of 256 MiB with one file of 16 MiB, all of it cached.</summary>
    [GlobalSetup]
    public void Setup()
    {
        KmemSystem.Init(new KmemOptions { LockArena = false });
        var io = new MemoryVdevIo(256 << 20);
        Touch(io);
        _ = PoolFormatter.Format([io], new PoolCreateOptions { Name = "bench" });
        _spa = Spa.Open([io], new SpaOpenOptions());
        _os = _spa.OpenObjset("bench");
        _fs = Zfsvfs.Mount(_os, false, AtimeMode.On);
        Check(_fs.Create(new Cred(0, 0), _fs.RootObject, _name, 0x81A4, 0, default, out ZnodeAttr attr));
        _file = attr.Object;
        _buffer = KmemAllocator.Zalloc(131072, KmFlags.Sleep);
        Check(_fs.Open(_file, false));
        for (int at = 0; at < FileBytes; at += 131072)
        {
            Check(_fs.Write(_file, (ulong)at, 131072, _buffer, ZplWriteFlags.None, out _));
        }

        Check(_fs.SyncFs());
    }

    /// <summary>Closes the pool.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        Check(_fs.Close(_file));
        KmemAllocator.Free(_buffer, 131072);
        _fs.Unmount();
        _spa.CloseObjset(_os);
        _spa.Close();
        KmemSystem.Shutdown();
    }

    /// <summary>read, cached.</summary>
    [Benchmark]
    public void Read() => Check(_fs.Read(_file, Next(), Size, _buffer, out _));

    /// <summary>write, over what is there; txgs are written behind it.</summary>
    [Benchmark]
    public void Write() => Check(_fs.Write(_file, Next(), Size, _buffer, ZplWriteFlags.None, out _));

    /// <summary>write and fsync: the intent log.</summary>
    [Benchmark]
    public void WriteAndFsync()
    {
        Check(_fs.Write(_file, Next(), Size, _buffer, ZplWriteFlags.None, out _));
        Check(_fs.Fsync(_file));
    }

    /// <summary>getattr.</summary>
    [Benchmark]
    public void GetAttr() => Check(_fs.GetAttr(_file, out _));

    /// <summary>lookup.</summary>
    [Benchmark]
    public void Lookup() => Check(_fs.Lookup(_fs.RootObject, _name, out _));

    private static void Check(int error)
    {
        if (error != 0)
        {
            throw new InvalidOperationException(ErrnoName.Of(error));
        }
    }

    /// <summary>A disk in memory takes its memory, from the GC heap, when a place is written for the first time: all of it now.</summary>
    private static void Touch(MemoryVdevIo io)
    {
        byte[] bytes = new byte[1 << 20];
        bytes.AsSpan().Fill(1);
        fixed (byte* p = bytes)
        {
            ReadOnlySpan<IoSegment> segment = [new IoSegment((nint)p, bytes.Length)];
            for (long at = 0; at < io.Size; at += bytes.Length)
            {
                Check(io.Write(at, segment));
            }
        }
    }

    private ulong Next()
    {
        _at = (_at + (ulong)Size) % FileBytes;
        return _at;
    }
}
