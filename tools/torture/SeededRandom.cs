namespace ZfsLite.Torture;

/// <summary>A small generator that is the same everywhere.</summary>
internal sealed class SeededRandom(ulong seed)
{
    private ulong _state = (seed * 0x9E3779B97F4A7C15) + 1;

    /// <summary>From 0 up to, not including, a bound.</summary>
    internal int Next(int bound)
    {
        _state ^= _state << 13;
        _state ^= _state >> 7;
        _state ^= _state << 17;
        return (int)(_state % (uint)bound);
    }

    /// <summary>True once in so many times.</summary>
    internal bool OneIn(int times) => Next(times) == 0;

    /// <summary>One of several.</summary>
    internal T Pick<T>(params ReadOnlySpan<T> from) => from[Next(from.Length)];
}
