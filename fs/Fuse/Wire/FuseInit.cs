namespace ZfsLite.Fs;

/// <summary>
/// The INIT exchange. Every feature accepted here is a duty: AtomicOTrunc makes OPEN truncate, HandleKillprivV2 makes the
/// daemon clear set-id bits and file capabilities, ExportSupport makes "." and ".." resolve on any node id, the writeback
/// cache leaves size and times of cached files to the kernel and reads through write-only handles. Posix locks are left
/// out, so the kernel keeps them itself.
/// </summary>
internal static class FuseInit
{
    internal const uint Major = 7;
    internal const uint Minor = 45;

    /// <summary>The oldest kernel interface with everything relied on (MaxPages: Linux 4.20).</summary>
    internal const uint OldestMinor = 28;

    internal const int PageBytes = 4096;

    private const FuseInitFlags Wanted =
        FuseInitFlags.AsyncRead | FuseInitFlags.AtomicOTrunc | FuseInitFlags.ExportSupport | FuseInitFlags.BigWrites
        | FuseInitFlags.DoReadDirPlus | FuseInitFlags.ReadDirPlusAuto | FuseInitFlags.AsyncDio | FuseInitFlags.ParallelDirops
        | FuseInitFlags.AbortError | FuseInitFlags.MaxPages | FuseInitFlags.CacheSymlinks | FuseInitFlags.ExplicitInvalData
        | FuseInitFlags.HandleKillprivV2 | FuseInitFlags.InitExt;

    /// <summary>Chooses among what the kernel offers.</summary>
    /// <returns>0, or EPROTO (71) for a kernel too old.</returns>
    internal static int Negotiate(in FuseInitIn offer, FuseSessionOptions options, out FuseInitOut reply)
    {
        reply = default;
        reply.Major = Major;
        reply.Minor = Minor;
        if (offer.Major > Major)
        {
            // The kernel asks again in our version.
            return 0;
        }

        if (offer.Major < Major || offer.Minor < OldestMinor)
        {
            return Eproto;
        }

        ulong offered = offer.Flags;
        if ((offered & (ulong)FuseInitFlags.InitExt) != 0)
        {
            offered |= (ulong)offer.Flags2 << 32;
        }

        FuseInitFlags wanted = Wanted | (options.WritebackCache ? FuseInitFlags.WritebackCache : FuseInitFlags.None);
        ulong accepted = offered & (ulong)wanted;
        reply.Minor = Math.Min(Minor, offer.Minor);
        reply.Flags = (uint)accepted;
        reply.Flags2 = (uint)(accepted >> 32);
        reply.MaxReadahead = (uint)options.MaxWrite;
        reply.MaxBackground = 64;
        reply.CongestionThreshold = 48;
        reply.MaxWrite = (uint)options.MaxWrite;
        reply.TimeGranularity = 1;
        reply.MaxPages = (ushort)(options.MaxWrite / PageBytes);
        return 0;
    }

    private const int Eproto = 71;
}
