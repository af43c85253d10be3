using System.Runtime.CompilerServices;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// The conversion of KM_* flags to a gfp mask, by policy.
/// <code>
/// policy     KM_SLEEP   marked KM_SLEEP       KM_PUSHPAGE             KM_NOSLEEP
/// none       KERNEL     KERNEL (no marks)     KERNEL - IO,FS + HIGH   kswapd + HIGH
/// pushpage   KERNEL     KERNEL (no marks)     KERNEL - IO,FS + HIGH   kswapd + HIGH
/// emergency  KERNEL     KERNEL (no marks)     KERNEL - IO,FS + HIGH   kswapd + HIGH
/// txcookie   KERNEL     KERNEL - IO,FS + HIGH KERNEL - IO,FS + HIGH   kswapd + HIGH
/// fstrans    KERNEL     KERNEL - IO,FS        KERNEL + HIGH (marked:  kswapd
///                                             - IO,FS)
/// </code>
/// Up to txcookie KM_PUSHPAGE has its meaning of 2012 (no IO, no FS, reserve) and KM_NOSLEEP is GFP_ATOMIC. Under
/// fstrans the reserve is for those that others wait for, who ask with KM_PUSHPAGE: KM_NOSLEEP has no part in it.
/// </summary>
public static class Gfp
{
    /// <summary>The mask of an allocation with these flags by a thread with these marks.</summary>
    public static GfpMask Convert(KmFlags flags, KmemPolicy policy, ThreadFlags marks)
    {
        Check(flags);
        bool history = policy != KmemPolicy.Fstrans;
        if ((flags & KmFlags.NoSleep) != 0)
        {
            bool high = history || (flags & KmFlags.PushPage) != 0;
            return GfpMask.KswapdReclaim | (high ? GfpMask.High : 0);
        }

        GfpMask mask = GfpMask.Kernel;
        bool marked = IsMarked(policy, marks);
        bool pushPage = (flags & KmFlags.PushPage) != 0 || (marked && policy == KmemPolicy.TxCookie);
        if (pushPage)
        {
            mask |= GfpMask.High;
        }

        if (marked || (pushPage && history))
        {
            mask &= ~(GfpMask.Io | GfpMask.Fs);
        }

        return mask;
    }

    /// <summary>Throws if the flags have bits that no public entry takes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Check(KmFlags flags)
    {
        if ((flags & ~(KmFlags.NoSleep | KmFlags.PushPage)) != 0)
        {
            ThrowBadFlags(flags);
        }
    }

    /// <summary>Takes from a mask what the marks of a thread forbid. The page allocator does this to every allocation, so that a
    /// nested one (page tables, a slab for a slab) can't escape its caller's mark.</summary>
    public static GfpMask Scope(GfpMask mask, KmemPolicy policy, ThreadFlags marks) =>
        IsMarked(policy, marks) ? mask & ~(GfpMask.Io | GfpMask.Fs) : mask;

    /// <summary>Is a thread with these marks marked, as far as the policy knows marks?</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsMarked(KmemPolicy policy, ThreadFlags marks) =>
        (marks & ThreadFlags.Fstrans) != 0 && policy >= KmemPolicy.TxCookie;

    private static void ThrowBadFlags(KmFlags flags) =>
        throw new ArgumentException($"allocation flags 0x{(int)flags:x} have unknown bits", nameof(flags));
}
