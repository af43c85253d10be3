namespace ZfsLite.Fs;

/// <summary>How bad a finding is.</summary>
public enum CheckSeverity
{
    /// <summary>Worth knowing; nothing is wrong.</summary>
    Note,

    /// <summary>Not as it should be, harmless.</summary>
    Warning,

    /// <summary>Damage: of data, of space, or of accounts.</summary>
    Error,
}
