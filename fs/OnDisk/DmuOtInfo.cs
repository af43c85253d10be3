namespace ZfsLite.Fs;

/// <summary>Facts about object types.</summary>
public static class DmuOtInfo
{
    /// <summary>True for every type but file contents, zvols and other plain integers: metadata gets one ditto copy more, fletcher4, lzjb.</summary>
    public static bool IsMetadata(DmuOt type) =>
        type is not (DmuOt.PlainFileContents or DmuOt.Zvol or DmuOt.PlainOther or DmuOt.Uint64Other);
}
