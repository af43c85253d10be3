namespace ZfsLite.Fs;

/// <summary>Bits of st_mode.</summary>
internal static class ZplMode
{
    internal const uint TypeMask = 0xF000, Fifo = 0x1000, Character = 0x2000, Directory = 0x4000, Block = 0x6000, Regular = 0x8000;
    internal const uint Link = 0xA000, Socket = 0xC000;
    internal const uint SetUid = 0x800, SetGid = 0x400, Sticky = 0x200, GroupExec = 8, PermissionMask = 0xFFF, AllExec = 0x49;

    internal static bool IsType(uint mode, uint type) => (mode & TypeMask) == type;

    /// <summary>Is it one of the seven file types?</summary>
    internal static bool IsValid(uint mode) => (mode & TypeMask) is Fifo or Character or Directory or Block or Regular or Link or Socket;

    /// <summary>The mode without suid, and without sgid if the group may execute: what a write by another user leaves.</summary>
    internal static uint WithoutSetId(uint mode)
    {
        if (!IsType(mode, Regular))
        {
            return mode;
        }

        uint kill = SetUid | ((mode & GroupExec) != 0 ? SetGid : 0);
        return mode & ~kill;
    }
}
