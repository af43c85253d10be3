namespace ZfsLite.Fs;

/// <summary>What a file allows, beyond its mode: the upper half of the flags on disk (format sheet §7.2).</summary>
[Flags]
public enum ZnodeFlags : uint
{
    /// <summary>Nothing out of the ordinary.</summary>
    None = 0,

    /// <summary>Neither contents nor attributes nor names change.</summary>
    Immutable = 0x10,

    /// <summary>Names of it stay.</summary>
    NoUnlink = 0x20,

    /// <summary>It only grows.</summary>
    AppendOnly = 0x40,

    /// <summary>Backups leave it out.</summary>
    NoDump = 0x80,
}
