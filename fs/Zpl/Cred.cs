namespace ZfsLite.Fs;

/// <summary>Who asks.</summary>
/// <param name="Uid">User id.</param>
/// <param name="Gid">Group id.</param>
public readonly record struct Cred(uint Uid, uint Gid);
