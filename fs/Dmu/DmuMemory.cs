using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Fs;

/// <summary>Which allocation flags a thread uses where no transaction is at hand.</summary>
internal static class DmuMemory
{
    /// <summary>The sync path may use the reserve, since everybody waits for it; others sleep.</summary>
    internal static KmFlags Flags => (Kthread.Current.Flags & ThreadFlags.SyncPath) != 0 ? KmFlags.PushPage : KmFlags.Sleep;
}
