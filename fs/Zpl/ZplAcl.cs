namespace ZfsLite.Fs;

/// <summary>
/// The access control list that says the same as the mode, in the form that zfs-fuse writes (format sheet §7.3): six entries,
/// deny and allow for owner, group and everyone.
/// </summary>
internal static unsafe class ZplAcl
{
    private const ushort Allow = 0;
    private const ushort Deny = 1;
    private const ushort Owner = 0x1000;
    private const ushort Group = 0x2040;
    private const ushort Everyone = 0x4000;

    /// <summary>Rights that only the owner has: write attributes, ACL, owner, named attributes.</summary>
    private const uint OwnerRights = 0xC0110;

    /// <summary>Rights that everyone has: read attributes, ACL, named attributes, synchronise.</summary>
    private const uint EveryoneRights = 0x120088;

    private const int Entries = 6;
    private const int EntrySize = 8;

    /// <summary>Sets mode, ACL and the flags that follow from them.</summary>
    internal static void SetMode(ZnodePhys* phys, uint mode)
    {
        phys->Mode = mode;
        phys->AclExternObject = 0;
        phys->AclSize = Entries * EntrySize;
        phys->AclVersion = 1;
        phys->AclCount = Entries;
        new Span<byte>(phys->AclData, 72).Clear();
        uint u = Rights(mode >> 6);
        uint g = Rights(mode >> 3);
        uint o = Rights(mode);
        uint all = Rights(7);
        Put(phys, 0, Deny, Owner, all & ~u);
        Put(phys, 1, Allow, Owner, u | OwnerRights);
        Put(phys, 2, Deny, Group, all & ~g);
        Put(phys, 3, Allow, Group, g);
        Put(phys, 4, Deny, Everyone, (all & ~o) | OwnerRights);
        Put(phys, 5, Allow, Everyone, o | EveryoneRights);
        phys->Flags |= ZnodePhys.FlagAclTrivial;
        if ((mode & ZplMode.AllExec) == ZplMode.AllExec)
        {
            phys->Flags |= ZnodePhys.FlagNoExecsDenied;
        }
        else
        {
            phys->Flags &= ~ZnodePhys.FlagNoExecsDenied;
        }
    }

    private static uint Rights(uint bits) => ((bits & 4) != 0 ? 1u : 0) | ((bits & 2) != 0 ? 6u : 0) | ((bits & 1) != 0 ? 0x20u : 0);

    private static void Put(ZnodePhys* phys, int index, ushort type, ushort flags, uint mask)
    {
        byte* p = phys->AclData + (index * EntrySize);
        *(ushort*)p = type;
        *(ushort*)(p + 2) = flags;
        *(uint*)(p + 4) = mask;
    }
}
