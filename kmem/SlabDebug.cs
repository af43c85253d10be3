using System.Globalization;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The watch over the objects of one cache (SLUB's debugging). It stands in front of the engine, which sees larger objects: before
/// what the caller gets there may be a red zone, and behind it another one and a trailer with the state and the owners. A watched cache has no hit
/// without checks: its queues never lean to a thread, so that every call comes by here.
/// <para>
/// Invariant: memory of new slabs is filled with the junk of freed memory (<see cref="SlabEngine.JunksNewSlabs"/>); a trailer that
/// still holds it belongs to an object that was never allocated.
/// </para>
/// </summary>
internal sealed unsafe class SlabDebug
{
    private const byte ZoneFree = 0xbb;
    private const byte ZoneLive = 0xcc;
    private const ulong StateFresh = 0xdeadbeef_deadbeef;
    private const ulong StateFree = 0x6672_6565_6f62_6a00;
    private const ulong StateLive = 0x6c69_7665_6f62_6a00;
    private const int WordBytes = 8;
    private const int LongestDump = 16;

    private readonly KmemSystem _system;
    private readonly string _name;
    private readonly int _size;
    private readonly int _left;
    private readonly int _right;
    private readonly int _trailer;

    internal SlabDebug(KmemSystem system, string name, int size, int align, SlabDebugFlags flags)
    {
        _system = system;
        _name = name;
        _size = size;
        const SlabDebugFlags InMemory = SlabDebugFlags.Consistency | SlabDebugFlags.RedZone | SlabDebugFlags.Owner;
        Span<int> layout = stackalloc int[4];
        Layout(size, align, flags, layout);
        const int Block = MemoryNode.MaxPages * ArenaMapping.PageSize;
        if (layout[3] > (size <= Block ? Block : KmemCache.MaxObjectBytes))
        {
            // Objects that fill the largest block, and the largest of all: what needs bytes around them can't be had.
            flags &= ~InMemory;
            Layout(size, align, flags, layout);
        }

        Flags = flags;
        (_left, _right, _trailer, EngineSize) = (layout[0], layout[1], layout[2], layout[3]);
    }

    /// <summary>What is watched.</summary>
    internal SlabDebugFlags Flags { get; }

    /// <summary>Bytes of an object as the engine sees it.</summary>
    internal int EngineSize { get; }

    /// <summary>Bytes from what the engine gives to what the caller gets.</summary>
    internal int Left => _left;

    /// <summary>May its allocations fail by order?</summary>
    internal bool FailsByOrder => (Flags & SlabDebugFlags.Failslab) != 0;

    /// <summary>Is the fill with junk among it?</summary>
    internal bool Poisons => (Flags & SlabDebugFlags.Poison) != 0;

    /// <summary>An object leaves: checks what was free, and notes who gets it.</summary>
    /// <param name="raw">As the engine gave it.</param>
    /// <param name="self">The calling thread.</param>
    internal void Allocated(byte* raw, Kthread self)
    {
        byte* obj = raw + _left;
        if (_trailer != 0)
        {
            Trailer* trailer = (Trailer*)(raw + _trailer);
            if (trailer->State != StateFresh)
            {
                if (trailer->State != StateFree)
                {
                    throw Report(obj, trailer, $"its trailer was overwritten while it was free (state 0x{trailer->State:x})");
                }

                CheckZones(raw, trailer, ZoneFree, "while it was free");
            }
            else if (HasTracks)
            {
                *trailer = default;
            }
        }

        if (Poisons)
        {
            long at = Poison.FirstDifference(obj, _size);
            if (at >= 0)
            {
                Trailer* trailer = _trailer != 0 ? (Trailer*)(raw + _trailer) : null;
                throw Report(obj, trailer, $"written at offset {at} after it was freed: {Dump(obj + at, (int)Math.Min(_size - at, LongestDump))}");
            }

            Poison.FillUninit(obj, _size);
        }

        int site = (Flags & (SlabDebugFlags.Owner | SlabDebugFlags.Trace | SlabDebugFlags.Leaks)) != 0 ? _system.CallSites.Capture() : 0;
        if (_trailer != 0)
        {
            Trailer* trailer = (Trailer*)(raw + _trailer);
            trailer->State = StateLive;
            FillZones(raw, ZoneLive);
            if (HasTracks)
            {
                trailer->Allocated = new Track(site, self);
            }
        }

        if ((Flags & SlabDebugFlags.Leaks) != 0)
        {
            _system.Leaks.Add(obj, _size, _name, site, self);
        }

        TraceEvent("allocated", obj, site, self);
    }

    /// <summary>An object comes back, as the engine knows it: checks it, and notes who gave it.</summary>
    internal void Freed(byte* raw, Kthread self)
    {
        byte* obj = raw + _left;
        int site = (Flags & (SlabDebugFlags.Owner | SlabDebugFlags.Trace)) != 0 ? _system.CallSites.Capture() : 0;
        if (_trailer != 0)
        {
            Trailer* trailer = (Trailer*)(raw + _trailer);
            if (trailer->State is StateFree or StateFresh)
            {
                throw Report(obj, trailer, "is freed twice");
            }

            if (trailer->State != StateLive)
            {
                throw Report(obj, trailer, $"its trailer was overwritten (state 0x{trailer->State:x})");
            }

            CheckZones(raw, trailer, ZoneLive, "while it was allocated");
            trailer->State = StateFree;
            FillZones(raw, ZoneFree);
            if (HasTracks)
            {
                trailer->Freed = new Track(site, self);
            }
        }
        else if (Poisons && _size >= sizeof(uint) && Poison.IsFree(obj, _size))
        {
            throw Report(obj, null, "is freed twice");
        }

        if ((Flags & SlabDebugFlags.Leaks) != 0 && !_system.Leaks.Remove(obj))
        {
            throw Report(obj, null, "is freed, but is not on the list of live allocations");
        }

        TraceEvent("freed", obj, site, self);
    }

    /// <summary>The last step of a free, behind the destructor.</summary>
    internal void Junk(byte* raw)
    {
        if (Poisons)
        {
            Poison.FillFree(raw + _left, _size);
        }
    }

    /// <summary>Who allocated an object, as the engine knows it, in words; empty if that is not noted.</summary>
    internal string OwnerOf(byte* raw) => HasTracks ? $" ({Text(((Trailer*)(raw + _trailer))->Allocated, "allocated")})" : string.Empty;

    private bool HasTracks => (Flags & SlabDebugFlags.Owner) != 0;

    /// <summary>Left zone, end of the right one (0: no zones), place of the trailer (0: none), all.</summary>
    private static void Layout(int size, int align, SlabDebugFlags flags, Span<int> layout)
    {
        bool zones = (flags & SlabDebugFlags.RedZone) != 0;
        bool trailer = (flags & (SlabDebugFlags.Consistency | SlabDebugFlags.RedZone | SlabDebugFlags.Owner)) != 0;
        int left = zones ? Math.Max(align, WordBytes) : 0;
        int end = left + size;
        int right = zones ? ((end + WordBytes - 1) & -WordBytes) + WordBytes : 0;
        int at = trailer ? (Math.Max(end, right) + WordBytes - 1) & -WordBytes : 0;
        int all = !trailer ? end : at + ((flags & SlabDebugFlags.Owner) != 0 ? sizeof(Trailer) : sizeof(ulong));
        (layout[0], layout[1], layout[2], layout[3]) = (left, right, at, all);
    }

    private static string Dump(byte* p, int bytes) => Convert.ToHexStringLower(new ReadOnlySpan<byte>(p, bytes));

    private void FillZones(byte* raw, byte value)
    {
        if (_right != 0)
        {
            new Span<byte>(raw, _left).Fill(value);
            new Span<byte>(raw + _left + _size, _right - _left - _size).Fill(value);
        }
    }

    private void CheckZones(byte* raw, Trailer* trailer, byte value, string when)
    {
        if (_right == 0)
        {
            return;
        }

        var before = new ReadOnlySpan<byte>(raw, _left);
        var behind = new ReadOnlySpan<byte>(raw + _left + _size, _right - _left - _size);
        int low = before.IndexOfAnyExcept(value);
        int high = behind.IndexOfAnyExcept(value);
        if (low < 0 && high < 0)
        {
            return;
        }

        int at = low >= 0 ? low - _left : _size + high;
        ReadOnlySpan<byte> found = low >= 0 ? before[low..] : behind[high..];
        throw Report(
            raw + _left,
            trailer,
            $"red zone overwritten at offset {at} {when}: 0x{value:x2} is {Convert.ToHexStringLower(found[..Math.Min(found.Length, LongestDump)])}");
    }

    private void TraceEvent(string what, byte* obj, int site, Kthread self)
    {
        if ((Flags & SlabDebugFlags.Trace) != 0)
        {
            _system.Options.Warn?.Invoke($"trace: cache {_name}: 0x{(ulong)obj:x} {what} by {_system.CallSites.NameOf(site)} in thread {self}");
        }
    }

    private InvalidOperationException Report(byte* obj, Trailer* trailer, string what)
    {
        string owners = trailer == null || !HasTracks
            ? string.Empty
            : $"; {Text(trailer->Allocated, "allocated")}{Text(trailer->Freed, ", freed")}";
        return new InvalidOperationException(
            string.Create(CultureInfo.InvariantCulture, $"cache {_name}: object 0x{(ulong)obj:x} of {_size} bytes: {what}{owners}"));
    }

    private string Text(in Track track, string what) => track.Thread == 0
        ? string.Empty
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{what} {(Kclock.NowNs - track.Ns) / 1e6:0.000} ms ago by {_system.CallSites.NameOf(track.Site)} in thread {track.Thread}");

    private struct Trailer
    {
        internal ulong State;
        internal Track Allocated;
        internal Track Freed;
    }

    private readonly struct Track(int site, Kthread thread)
    {
        internal readonly int Site = site;
        internal readonly int Thread = thread.Id;
        internal readonly long Ns = Kclock.NowNs;
    }
}
