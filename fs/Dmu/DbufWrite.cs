namespace ZfsLite.Fs;

/// <summary>One block on its way to disk: the dbuf, the indirect block that will hold its pointer, and the txg slot it is written for.</summary>
internal sealed class DbufWrite : ZioWrite
{
    internal Dbuf? Db;
    internal Dbuf? Parent;
    internal DbufWrite? NextFree;
}
