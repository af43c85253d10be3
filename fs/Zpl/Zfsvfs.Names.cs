using System.Text.Unicode;
using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Fs;

/// <summary>Names: lookup, listing, and what all changes of directories share.</summary>
public sealed unsafe partial class Zfsvfs
{
    /// <summary>Looks a name up. "." and ".." are understood (NFS handles need them).</summary>
    public int Lookup(ulong dir, ReadOnlySpan<byte> name, out ZnodeAttr attr)
    {
        attr = default;
        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? dz = null;
        Znode? z = null;
        try
        {
            int error = GetDirectory(dir, out dz);
            if (error == 0)
            {
                error = LookupChild(dz!, name, out z);
            }

            if (error == 0)
            {
                FillAttr(z!, out attr);
            }

            return error;
        }
        catch (ZfsException e)
        {
            return ErrnoOf(e);
        }
        finally
        {
            Put(z);
            Put(dz);
        }
    }

    /// <summary>Entries from a cookie (0: start, with "." and ".." first).</summary>
    public int ReadDir(ulong dir, ulong cookie, IDirFiller filler)
    {
        using FstransCookie mark = Fstrans.MarkEntry();
        Znode? dz = null;
        try
        {
            int error = GetDirectory(dir, out dz);
            if (error != 0)
            {
                return error;
            }

            FillDirectory(dz!, cookie, filler);
            StampAtime(dz!);
            return 0;
        }
        catch (ZfsException e)
        {
            return ErrnoOf(e);
        }
        finally
        {
            Put(dz);
        }
    }

    private static ulong MakeEntry(uint mode, ulong obj) => ((ulong)(mode >> 12) << EntryTypeShift) | obj;

    private static bool IsDot(ReadOnlySpan<byte> name) => name.SequenceEqual("."u8);

    private static bool IsDotDot(ReadOnlySpan<byte> name) => name.SequenceEqual(".."u8);

    /// <summary>A name that could exist: 0, EINVAL, ENAMETOOLONG.</summary>
    private static int CheckName(ReadOnlySpan<byte> name)
    {
        if (name.Length == 0 || name.ContainsAny((byte)'/', (byte)0))
        {
            return Errno.EINVAL;
        }

        return name.Length > (int)MaxNameLength ? Errno.ENAMETOOLONG : 0;
    }

    /// <summary>A name that may be given to something new: also EEXIST for the dots, EILSEQ where only UTF-8 is allowed.</summary>
    private int CheckNewName(ReadOnlySpan<byte> name)
    {
        int error = CheckName(name);
        if (error == 0 && (IsDot(name) || IsDotDot(name)))
        {
            error = Errno.EEXIST;
        }

        return error == 0 && _utf8Only && !Utf8.IsValid(name) ? Errno.EILSEQ : error;
    }

    private int GetDirectory(ulong obj, out Znode? dz)
    {
        int error = _cache.Get(obj, out dz);
        return error == 0 && !dz!.IsDirectory ? Errno.ENOTDIR : error;
    }

    /// <summary>Looks up a name and takes a reference to what it names.</summary>
    private int LookupChild(Znode dz, ReadOnlySpan<byte> name, out Znode? z)
    {
        z = null;
        if (IsDot(name) || IsDotDot(name))
        {
            dz.Lock.Enter();
            ulong obj = IsDot(name) ? dz.Object : dz.Phys->Parent;
            dz.Lock.Exit();
            return _cache.Get(obj, out z);
        }

        int error = CheckName(name);
        if (error != 0)
        {
            return error;
        }

        dz.NameLock.EnterRead();
        try
        {
            return LookupLocked(dz, name, out _, out z);
        }
        finally
        {
            dz.NameLock.Exit();
        }
    }

    /// <summary>Under the directory's name lock: the entry and a reference to the file.</summary>
    private int LookupLocked(Znode dz, ReadOnlySpan<byte> name, out ulong entry, out Znode? z)
    {
        z = null;
        int error = FindEntry(dz, name, out entry);
        if (error != 0)
        {
            return error;
        }

        error = _cache.Get(entry & EntryObjectMask, out z);
        return error == Errno.ESTALE
            ? throw new ZfsException(Errno.EIO, $"directory {dz.Object} names object {entry & EntryObjectMask}, which does not exist")
            : error;
    }

    /// <summary>
    /// Before the name lock of a directory is taken under that of one that names it: it must lie there and nowhere else, and not be the root,
    /// or a damaged tree in which directories hold each other would turn the order of the locks round. EIO.
    /// </summary>
    private int CheckChild(Znode dz, Znode z) =>
        z.IsDirectory && (z.Phys->Parent != dz.Object || z.Object == dz.Object || z.Object == RootObject) ? Errno.EIO : 0;

    private int FindEntry(Znode dz, ReadOnlySpan<byte> name, out ulong entry) =>
        _anyCase ? Zap.LookupAnyCase(dz.Dnode!, name, out entry) : Zap.Lookup(dz.Dnode!, name, out entry);

    /// <summary>Removes a name that is there, in a transaction, under the directory's name lock.</summary>
    private void RemoveEntry(Znode dz, ReadOnlySpan<byte> name, DmuTx tx)
    {
        Span<byte> buffer = stackalloc byte[ZapLimits.NameMax + 1];
        scoped ReadOnlySpan<byte> spelling = name;
        if (_anyCase && Zap.FindAnyCase(dz.Dnode!, name, buffer, out int length))
        {
            spelling = buffer[..length];
        }

        int error = Zap.Remove(dz.Dnode!, spelling, tx);
        if (error != 0)
        {
            throw new ZfsException(Errno.EIO, $"directory {dz.Object}: a name just found can't be removed (error {error})");
        }
    }

    /// <summary>Gives an existing name another object, in a transaction, under the directory's name lock.</summary>
    private void ReplaceEntry(Znode dz, ReadOnlySpan<byte> name, ulong entry, DmuTx tx)
    {
        Span<byte> buffer = stackalloc byte[ZapLimits.NameMax + 1];
        scoped ReadOnlySpan<byte> spelling = name;
        if (_anyCase && Zap.FindAnyCase(dz.Dnode!, name, buffer, out int length))
        {
            spelling = buffer[..length];
        }

        int error = Zap.Update(dz.Dnode!, spelling, entry, tx);
        if (error != 0)
        {
            throw new ZfsException(Errno.EIO, $"directory {dz.Object}: a name just found can't be changed (error {error})");
        }
    }

    /// <summary>After a change of names in a directory: its size, links and times.</summary>
    private static void TouchDirectory(Znode dz, int entries, int subdirectories, DmuTx tx)
    {
        dz.Dnode!.DirtyBonus(tx);
        dz.Lock.Enter();
        dz.Phys->Size += (ulong)(long)entries;
        dz.Phys->Links += (ulong)(long)subdirectories;
        TouchContents(dz, tx);
        dz.Lock.Exit();
    }

    private static void FillDirectory(Znode dz, ulong cookie, IDirFiller filler)
    {
        dz.Lock.Enter();
        ulong parent = dz.Phys->Parent;
        dz.Lock.Exit();
        const int DirectoryType = (int)(ZplMode.Directory >> 12);
        if (cookie == 0)
        {
            if (!filler.Add("."u8, dz.Object, DirectoryType, 1))
            {
                return;
            }

            cookie = 1;
        }

        if (cookie == 1)
        {
            if (!filler.Add(".."u8, parent, DirectoryType, 2))
            {
                return;
            }

            cookie = 2;
        }

        Span<byte> buffer = stackalloc byte[ZapLimits.NameMax + 1];
        var cursor = new ZapCursor(dz.Dnode!, buffer, cookie);
        while (cursor.MoveNext())
        {
            ulong entry = cursor.Value;
            if (!filler.Add(cursor.Name, entry & EntryObjectMask, (int)(entry >> EntryTypeShift), cursor.NextCookie))
            {
                return;
            }
        }
    }
}
