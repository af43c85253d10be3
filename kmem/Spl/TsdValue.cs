namespace ZfsLite.Kmem.Spl;

/// <summary>What one thread has under one key. Whoever takes it out of the key's set calls the destructor.</summary>
internal sealed class TsdValue(TsdKey key, object value)
{
    internal readonly TsdKey Key = key;

    /// <summary>Written by the thread itself, with the key's mutex held.</summary>
    internal object? Value = value;
}
