namespace ZfsLite.Torture;

/// <summary>What the crash schedules count.</summary>
internal enum CrashCount
{
    /// <summary>Workloads run.</summary>
    Workloads,

    /// <summary>Changes made by them.</summary>
    Steps,

    /// <summary>Syncs that returned.</summary>
    Acknowledged,

    /// <summary>Writes and flushes, each of which a crash came after.</summary>
    Points,

    /// <summary>Disks that a crash left, opened and judged.</summary>
    States,

    /// <summary>Those of them that a second crash left, while the first was being recovered from.</summary>
    Recrashed,

    /// <summary>Pools that were changed and synced after the recovery.</summary>
    UsedAfterwards,

    /// <summary>Writes and flushes that failed under the workloads.</summary>
    IoErrors,

    /// <summary>Log devices that were out of use when their workload ended.</summary>
    LogsFailed,

    /// <summary>Disks that zdb -bcc found clean, before a recovery and after it.</summary>
    CleanToZdb,
}
