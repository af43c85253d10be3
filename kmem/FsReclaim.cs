using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The pseudo-lock "fs_reclaim". An allocation whose mask lets reclaim enter the file system might take it (so a lock held
/// there comes before it); reclaim that enters the file system holds it (so a lock taken there comes after it). A lock seen on
/// both sides is a deadlock waiting for pressure, and is reported without any.
/// </summary>
internal static class FsReclaim
{
    private static readonly LockClass s_class = LockOrder.Class("fs_reclaim");

    /// <summary>An allocation with these flags by a thread that holds locks.</summary>
    internal static void Touch(KmFlags flags, KmemPolicy policy, Kthread self)
    {
        if ((flags & KmFlags.NoSleep) == 0
            && !Reclaimer.InReclaim(self)
            && (Gfp.Convert(flags, policy, self.Flags) & GfpMask.Fs) != 0)
        {
            LockOrder.TouchPseudo(s_class);
        }
    }

    /// <summary>Reclaim begins; it may enter the file system or not.</summary>
    internal static void Enter(bool mayEnterFs)
    {
        if (mayEnterFs)
        {
            LockOrder.AcquirePseudo(s_class);
        }
    }

    /// <summary>Reclaim ends.</summary>
    internal static void Exit(bool mayEnterFs)
    {
        if (mayEnterFs)
        {
            _ = LockOrder.ReleasePseudo(s_class);
        }
    }
}
