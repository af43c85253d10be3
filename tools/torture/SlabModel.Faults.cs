using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <content>Faults to plant: they stand between the model and the allocator, and lie to the model.</content>
internal sealed unsafe partial class SlabModel
{
    private byte* AllocFaulty(SlabActor actor, SlabSlot slot, KmFlags flags)
    {
        if (_fault == SlabFault.None || !_faultRandom.OneIn(3))
        {
            return slot.Cache.Alloc(flags);
        }

        bool sleeps = (flags & KmFlags.NoSleep) == 0;
        Kthread self = Kthread.Current;
        nint other = _live.FirstOrDefault(o => o.Value == slot).Key;
        switch (_fault)
        {
            case SlabFault.HandOutTwice when other != 0:
                return (byte*)other;
            case SlabFault.Overlap when other != 0 && !slot.HasHooks:
                return (byte*)other + 8;
            case SlabFault.Overwrite when other != 0:
                *(nint*)(other + (_faultRandom.OneIn(2) ? 0 : slot.Spec.Size - 8)) ^= 1;
                return slot.Cache.Alloc(flags);
            case SlabFault.Miscount:
                byte* extra = slot.Cache.Alloc(flags);
                if (extra != null)
                {
                    slot.Cache.Free(extra);
                }

                return slot.Cache.Alloc(flags);
            case SlabFault.LendTagged when slot.Cache.Engine is SlubqEngine:
                self.Flags |= ThreadFlags.Memalloc;
                actor.Right = SlabRight.All;
                byte* lent = slot.Cache.Alloc(flags);
                self.Flags &= ~ThreadFlags.Memalloc;
                actor.Right = SlabRight.Ordinary;
                actor.Lent = null;
                return lent;
            case SlabFault.BreachLadder:
                return slot.Cache.Alloc(flags | KmFlags.PushPage);
            case SlabFault.NoSleepWaits when !sleeps:
                return slot.Cache.Alloc(flags & ~KmFlags.NoSleep);
            case SlabFault.NullForSleeper when sleeps:
                return null;
            case SlabFault.MarkLeft:
                byte* obj = slot.Cache.Alloc(flags);
                self.Flags |= ThreadFlags.InReclaim;
                return obj;
            case SlabFault.DestructorSkipped:
                slot.Constructed++;
                return slot.Cache.Alloc(flags);
            default:
                return slot.Cache.Alloc(flags);
        }
    }
}
