namespace ZfsLite.Fs;

/// <summary>DMU object types of pool version 23 (dmu_object_type_t).</summary>
public enum DmuOt : byte
{
#pragma warning disable CS1591 // The field's own names.
    None = 0, ObjectDirectory = 1, ObjectArray = 2, PackedNvlist = 3, PackedNvlistSize = 4, Bplist = 5, BplistHdr = 6,
    SpaceMapHeader = 7, SpaceMap = 8, IntentLog = 9, Dnode = 10, Objset = 11, DslDir = 12, DslDirChildMap = 13, DslDsSnapMap = 14,
    DslProps = 15, DslDataset = 16, Znode = 17, OldAcl = 18, PlainFileContents = 19, DirectoryContents = 20, MasterNode = 21,
    UnlinkedSet = 22, Zvol = 23, ZvolProp = 24, PlainOther = 25, Uint64Other = 26, ZapOther = 27, ErrorLog = 28, SpaHistory = 29,
    SpaHistoryOffsets = 30, PoolProps = 31, DslPerms = 32, Acl = 33, SysAcl = 34, Fuid = 35, FuidSize = 36, NextClones = 37,
    ScrubQueue = 38, UsergroupUsed = 39, UsergroupQuota = 40, Userrefs = 41, DdtZap = 42, DdtStats = 43, NumTypes = 44,
#pragma warning restore CS1591
}
