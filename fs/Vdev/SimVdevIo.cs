using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>
/// A disk that fails as disks do, on top of memory, and always in the same way for the same seed. Writes that were not
/// flushed are at risk: <see cref="Crash"/> decides for each sector of each of them, in any order, whether it made it. The
/// k-th I/O can fail, bits can flip on the way in, the power can go off in the middle of a write, and every I/O can take
/// (virtual) time.
/// </summary>
public sealed unsafe class SimVdevIo : IVdevIo
{
    private const int Sector = 512;

    private readonly object _lock = new();
    private readonly MemoryVdevIo _current;
    private readonly MemoryVdevIo _durable;
    private readonly List<Pending> _pending = [];
    private ulong _random;
    private bool _powerOff;

    /// <summary>Makes a disk of zeros.</summary>
    public SimVdevIo(long size, ulong seed, string path = "sim")
        : this(new MemoryVdevIo(size, path), seed)
    {
    }

    /// <summary>Makes a disk with the contents of another (copied); all of it is durable.</summary>
    public SimVdevIo(MemoryVdevIo contents, ulong seed)
    {
        _current = contents.Clone();
        _durable = contents.Clone();
        _random = seed * 0x9E3779B97F4A7C15 + 1;
        Path = contents.Path;
    }

    /// <inheritdoc/>
    public long Size => _current.Size;

    /// <inheritdoc/>
    public string Path { get; }

    /// <inheritdoc/>
    public bool IsReadOnly => false;

    /// <summary>I/Os done so far: reads, writes and flushes.</summary>
    public long IoCount { get; private set; }

    /// <summary>Writes done so far.</summary>
    public long WriteCount { get; private set; }

    /// <summary>Flushes done so far.</summary>
    public long FlushCount { get; private set; }

    /// <summary>The I/O with this number (1 is the first) fails with EIO; 0: none.</summary>
    public long FailAtIo { get; set; }

    /// <summary>So many I/Os fail, from <see cref="FailAtIo"/> on.</summary>
    public long FailIos { get; set; } = 1;

    /// <summary>All I/Os from <see cref="FailAtIo"/> on fail.</summary>
    public bool FailForever { get; set; }

    /// <summary>The power goes off during the write or flush with this number (counting those two); 0: never.</summary>
    public long PowerOffAtWrite { get; set; }

    /// <summary>One read in this many has a bit flipped in what it returns; 0: none.</summary>
    public int FlipReadBitOneIn { get; set; }

    /// <summary>One write in this many has a bit flipped on its way to the disk; 0: none.</summary>
    public int FlipWriteBitOneIn { get; set; }

    /// <summary>Flushes report success and make nothing durable, as the worst disks do.</summary>
    public bool LiesAboutFlush { get; set; }

    /// <summary>Called before each write and flush, with the disk itself, by the thread that does it.</summary>
    public Action<SimVdevIo>? BeforeChange { get; set; }

    /// <summary>Time of an I/O, nanoseconds: it sleeps that long.</summary>
    public long LatencyNs { get; set; }

    /// <summary>True after the power went off: every I/O is EIO until <see cref="Crash"/>.</summary>
    public bool IsPowerOff => _powerOff;

    /// <summary>Writes at risk.</summary>
    public int PendingWrites
    {
        get
        {
            lock (_lock)
            {
                return _pending.Count;
            }
        }
    }

    /// <summary>
    /// The power fails and comes back: of the writes since the last flush, every one may be there wholly, in part (by
    /// sectors) or not at all, whatever their order was.
    /// </summary>
    public void Crash()
    {
        lock (_lock)
        {
            // Any order: later writes may have reached the disk before earlier ones.
            for (int i = _pending.Count - 1; i > 0; i--)
            {
                int j = (int)(NextRandom() % (ulong)(i + 1));
                (_pending[i], _pending[j]) = (_pending[j], _pending[i]);
            }

            foreach (Pending p in _pending)
            {
                ulong fate = NextRandom() % 4;
                for (int at = 0; at < p.Data.Length; at += Sector)
                {
                    if (fate == 0 || (fate > 1 && (NextRandom() & 1) == 0))
                    {
                        Apply(_durable, p.Offset + at, p.Data.AsSpan(at, Math.Min(Sector, p.Data.Length - at)));
                    }
                }
            }

            foreach (Pending p in _pending)
            {
                var now = new byte[p.Data.Length];
                fixed (byte* b = now)
                {
                    _ = _durable.Read(p.Offset, b, now.Length);
                }

                Apply(_current, p.Offset, now);
            }

            _pending.Clear();
            _powerOff = false;
            PowerOffAtWrite = 0;
        }
    }

    /// <summary>What would be on the disk if the power failed now and nothing unflushed survived: a copy.</summary>
    public MemoryVdevIo DurableImage()
    {
        lock (_lock)
        {
            return _durable.Clone();
        }
    }

    /// <summary>The contents with everything written so far: a copy.</summary>
    public MemoryVdevIo CurrentImage()
    {
        lock (_lock)
        {
            return _current.Clone();
        }
    }

    /// <summary>What a crash at this moment would leave, for a seed: a copy; the disk itself goes on.</summary>
    public MemoryVdevIo CrashImage(ulong seed)
    {
        lock (_lock)
        {
            var twin = new SimVdevIo(_durable, seed);
            foreach (Pending p in _pending)
            {
                twin._pending.Add(p);
            }

            twin.Crash();
            return twin._durable;
        }
    }

    /// <summary>Flips bits of stored bytes: silent corruption.</summary>
    public void Corrupt(long offset, byte xor)
    {
        lock (_lock)
        {
            foreach (MemoryVdevIo disk in (MemoryVdevIo[])[_current, _durable])
            {
                byte b;
                _ = disk.Read(offset, &b, 1);
                b ^= xor;
                Apply(disk, offset, new ReadOnlySpan<byte>(&b, 1));
            }
        }
    }

    /// <inheritdoc/>
    public int Read(long offset, byte* buffer, int length)
    {
        Delay();
        lock (_lock)
        {
            if (Fails())
            {
                return Errno.EIO;
            }

            int error = _current.Read(offset, buffer, length);
            if (error == 0 && length > 0 && FlipReadBitOneIn > 0 && NextRandom() % (ulong)FlipReadBitOneIn == 0)
            {
                buffer[NextRandom() % (ulong)length] ^= (byte)(1 << (int)(NextRandom() & 7));
            }

            return error;
        }
    }

    /// <inheritdoc/>
    public int Write(long offset, ReadOnlySpan<IoSegment> segments) => Write(offset, segments, through: false);

    /// <inheritdoc/>
    public int WriteThrough(long offset, ReadOnlySpan<IoSegment> segments) => Write(offset, segments, through: true);

    private int Write(long offset, ReadOnlySpan<IoSegment> segments, bool through)
    {
        Delay();
        BeforeChange?.Invoke(this);
        lock (_lock)
        {
            if (Fails())
            {
                return Errno.EIO;
            }

            WriteCount++;
            int total = 0;
            foreach (IoSegment s in segments)
            {
                total += s.Length;
            }

            if (offset < 0 || offset > Size - total)
            {
                return Errno.EIO;
            }

            var data = new byte[total];
            int at = 0;
            foreach (IoSegment s in segments)
            {
                new ReadOnlySpan<byte>((byte*)s.Data, s.Length).CopyTo(data.AsSpan(at));
                at += s.Length;
            }

            if (total > 0 && FlipWriteBitOneIn > 0 && NextRandom() % (ulong)FlipWriteBitOneIn == 0)
            {
                data[NextRandom() % (ulong)total] ^= (byte)(1 << (int)(NextRandom() & 7));
            }

            _pending.Add(new Pending(offset, data));
            Apply(_current, offset, data);
            if (PowerGoes())
            {
                return Errno.EIO;
            }

            if (through && !LiesAboutFlush)
            {
                MakeDurable(offset, data);
            }

            return 0;
        }
    }

    /// <inheritdoc/>
    public int Flush()
    {
        Delay();
        BeforeChange?.Invoke(this);
        lock (_lock)
        {
            if (Fails())
            {
                return Errno.EIO;
            }

            FlushCount++;
            if (PowerGoes())
            {
                return Errno.EIO;
            }

            if (LiesAboutFlush)
            {
                return 0;
            }

            foreach (Pending p in _pending)
            {
                Apply(_durable, p.Offset, p.Data);
            }

            _pending.Clear();
            return 0;
        }
    }

    /// <inheritdoc/>
    public void Discard(long offset, long length)
    {
        // A host may or may not honour it; this one does not.
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private static void Apply(MemoryVdevIo disk, long offset, ReadOnlySpan<byte> data)
    {
        fixed (byte* p = data)
        {
            ReadOnlySpan<IoSegment> one = [new IoSegment((nint)p, data.Length)];
            _ = disk.Write(offset, one);
        }
    }

    /// <summary>The last write is not at risk any more, and what was there before can't come back over it.</summary>
    private void MakeDurable(long offset, byte[] data)
    {
        _pending.RemoveAt(_pending.Count - 1);
        foreach (Pending p in _pending)
        {
            long from = Math.Max(offset, p.Offset);
            long to = Math.Min(offset + data.Length, p.Offset + p.Data.Length);
            if (from < to)
            {
                data.AsSpan((int)(from - offset), (int)(to - from)).CopyTo(p.Data.AsSpan((int)(from - p.Offset)));
            }
        }

        Apply(_durable, offset, data);
    }

    private void Delay()
    {
        if (LatencyNs > 0)
        {
            Kthread.Sleep(LatencyNs);
        }
        else
        {
            Kthread.Yield();
        }
    }

    private bool Fails()
    {
        IoCount++;
        return _powerOff || (FailAtIo > 0 && IoCount >= FailAtIo && (FailForever || IoCount < FailAtIo + FailIos));
    }

    private bool PowerGoes()
    {
        _powerOff = PowerOffAtWrite > 0 && WriteCount + FlushCount >= PowerOffAtWrite;
        return _powerOff;
    }

    private ulong NextRandom()
    {
        _random ^= _random << 13;
        _random ^= _random >> 7;
        _random ^= _random << 17;
        return _random;
    }

    private readonly record struct Pending(long Offset, byte[] Data);
}
