using System.Runtime.CompilerServices;

namespace ZfsLite.Kmem.Spl;

/// <summary>Atomics that decide anything. Each is a scheduling point in the simulator.</summary>
public static class Katomic
{
    /// <summary>Adds and returns the new value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long Add(ref long location, long value)
    {
        Point();
        return Interlocked.Add(ref location, value);
    }

    /// <summary>Adds and returns the new value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Add(ref int location, int value)
    {
        Point();
        return Interlocked.Add(ref location, value);
    }

    /// <summary>Adds one and returns the new value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long Increment(ref long location) => Add(ref location, 1);

    /// <summary>Adds one and returns the new value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Increment(ref int location) => Add(ref location, 1);

    /// <summary>Takes one away and returns the new value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long Decrement(ref long location) => Add(ref location, -1);

    /// <summary>Takes one away and returns the new value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Decrement(ref int location) => Add(ref location, -1);

    /// <summary>Stores <paramref name="value"/> if the location holds <paramref name="expected"/>; returns what it held.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int CompareExchange(ref int location, int value, int expected)
    {
        Point();
        return Interlocked.CompareExchange(ref location, value, expected);
    }

    /// <summary>Stores <paramref name="value"/> if the location holds <paramref name="expected"/>; returns what it held.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long CompareExchange(ref long location, long value, long expected)
    {
        Point();
        return Interlocked.CompareExchange(ref location, value, expected);
    }

    /// <summary>Stores and returns the old value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Exchange(ref int location, int value)
    {
        Point();
        return Interlocked.Exchange(ref location, value);
    }

    /// <summary>Stores and returns the old value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long Exchange(ref long location, long value)
    {
        Point();
        return Interlocked.Exchange(ref location, value);
    }

    /// <summary>Reads with acquire order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long Load(ref long location)
    {
        Point();
        return Volatile.Read(ref location);
    }

    /// <summary>Reads with acquire order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Load(ref int location)
    {
        Point();
        return Volatile.Read(ref location);
    }

    /// <summary>Writes with release order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ref long location, long value)
    {
        Point();
        Volatile.Write(ref location, value);
    }

    /// <summary>Writes with release order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ref int location, int value)
    {
        Point();
        Volatile.Write(ref location, value);
    }

    /// <summary>Reads a reference with acquire order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T? Load<T>(ref T? location)
        where T : class
    {
        Point();
        return Volatile.Read(ref location);
    }

    /// <summary>Writes a reference with release order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<T>(ref T? location, T? value)
        where T : class
    {
        Point();
        Volatile.Write(ref location, value);
    }

    /// <summary>
    /// A full fence on every processor that runs a thread of this process: what they wrote before is seen after it here, and
    /// the other way round. Microseconds: for the rare side of a protocol whose other side uses plain reads and writes.
    /// </summary>
    public static void ProcessBarrier()
    {
        Point();
        if (!SplPlatform.IsSimulated)
        {
            Interlocked.MemoryBarrierProcessWide();
        }
    }

    /// <summary>A scheduling point in the simulator, between plain accesses that another thread may come between; nothing on the operating
    /// system.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Interleave() => Point();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Point()
    {
        if (SplPlatform.IsSimulated)
        {
            SimBackend.Point();
        }
    }
}
