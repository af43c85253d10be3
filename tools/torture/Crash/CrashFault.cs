namespace ZfsLite.Torture;

/// <summary>A fault to plant, so that the harness can be seen to find it.</summary>
internal enum CrashFault
{
    /// <summary>None.</summary>
    None,

    /// <summary>Flushes do nothing.</summary>
    LyingFlush,

    /// <summary>Changes are called synced that are not.</summary>
    FalseAcknowledgement,

    /// <summary>A change that the model does not know of.</summary>
    UnknownChange,
}
