namespace ZfsLite.Fs;

/// <summary>One of the four lists of the ARC, most recently used at the head. Guarded by the ARC's mutex.</summary>
internal sealed class ArcList(string name, bool ghost)
{
    internal Dbuf? Head;
    internal Dbuf? Tail;
    internal long Bytes;
    internal int Count;

    internal string Name => name;

    internal bool IsGhost => ghost;

    internal void PushHead(Dbuf db)
    {
        db.ArcList = this;
        db.ArcPrev = null;
        db.ArcNext = Head;
        if (Head is null)
        {
            Tail = db;
        }
        else
        {
            Head.ArcPrev = db;
        }

        Head = db;
        Bytes += db.Size;
        Count++;
    }

    internal void Remove(Dbuf db)
    {
        if (db.ArcPrev is null)
        {
            Head = db.ArcNext;
        }
        else
        {
            db.ArcPrev.ArcNext = db.ArcNext;
        }

        if (db.ArcNext is null)
        {
            Tail = db.ArcPrev;
        }
        else
        {
            db.ArcNext.ArcPrev = db.ArcPrev;
        }

        db.ArcPrev = null;
        db.ArcNext = null;
        db.ArcList = null;
        Bytes -= db.Size;
        Count--;
    }
}
