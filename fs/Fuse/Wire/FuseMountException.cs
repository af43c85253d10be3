namespace ZfsLite.Fs;

/// <summary>A mount or unmount that can't be done. The message is one line for the user: the thing, and the way out.</summary>
public sealed class FuseMountException : Exception
{
    /// <summary>Makes one.</summary>
    public FuseMountException(string message)
        : base(message)
    {
    }

    /// <summary>Makes one with a cause.</summary>
    public FuseMountException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
