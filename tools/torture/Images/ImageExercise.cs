using System.Text;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <summary>
/// What is done to a hostile image: read and checked offline; then opened, every file system mounted, listed, read, written, synced
/// and closed. ZfsException and error numbers are right answers; any other exception comes out of here. Every walk has a budget, as
/// an image may well hold names without end: whoever lists them must not, and each call must end.
/// </summary>
internal sealed unsafe class ImageExercise(ImageCounts counts)
{
    private const int PieceBytes = 16 << 10;
    private const int NamesMax = 3000;
    private const int DirsMax = 60;
    private const int FilesMax = 150;
    private const int DatasetsMax = 8;
    private const int FindingsMax = 100;
    private const int ListBytesMax = 64 << 10;

    private static readonly Cred s_root = new(0, 0);

    private readonly byte[] _piece = GC.AllocateUninitializedArray<byte>(PieceBytes, pinned: true);

    /// <summary>The pool had to stop writing, and why; null: it had not. What was dirty is still in memory.</summary>
    internal string? Suspended { get; private set; }

    /// <summary>What check finds first; null: nothing.</summary>
    internal static string? Check(MemoryVdevIo[] disks)
    {
        try
        {
            using PoolReader pool = PoolReader.Open(disks.Select(static d => d.Clone()));
            CheckResult result = PoolChecker.Run(pool, new CheckOptions { MaxFindings = FindingsMax });
            return result.Errors == 0 ? null : string.Join("; ", result.Findings.Take(3));
        }
        catch (ZfsException e)
        {
            return e.Message;
        }
    }

    /// <summary>Reads everything with the offline reader, and checks. True if nothing was found.</summary>
    internal bool Offline(MemoryVdevIo[] disks)
    {
        const int budget = 200;
        bool clean = false;
        try
        {
            using PoolReader pool = PoolReader.Open(disks.Select(static d => d.Clone()));
            counts[ImageCount.ReadOffline]++;
            clean = PoolChecker.Run(pool, new CheckOptions { MaxFindings = FindingsMax }).Errors == 0;
            counts[ImageCount.Found] += clean ? 0 : 1;
            foreach (OfflineDataset ds in pool.Datasets().Take(DatasetsMax))
            {
                OfflineZpl? zpl = Try(() => pool.OpenFileSystem(ds));
                IEnumerator<(string Path, ulong Object)>? tree = zpl?.Tree().Take(budget).GetEnumerator();
                while (tree is not null && Try(tree.MoveNext))
                {
                    ulong obj = tree.Current.Object;
                    _ = Try(() => zpl!.ReadFile(obj, 0, _piece));
                    _ = Try(() => zpl!.ReadXattrs(obj).Count);
                    _ = Try(() => zpl!.ReadLink(obj));
                }
            }
        }
        catch (ZfsException)
        {
            counts[ImageCount.Errors]++;
        }

        return clean;
    }

    /// <summary>Opens it, uses it, closes it.</summary>
    internal void Online(MemoryVdevIo[] disks, bool readOnly)
    {
        Spa spa;
        try
        {
            spa = Spa.Open(disks, new SpaOpenOptions { ReadOnly = readOnly, Workers = 1 });
        }
        catch (ZfsException)
        {
            return;
        }

        counts[ImageCount.Opened]++;
        foreach (DatasetInfo info in spa.ListDatasets().Take(DatasetsMax))
        {
            UseDataset(spa, info.Name, readOnly || info.IsSnapshot);
        }

        _ = Call(spa.Sync);
        Suspended = spa.SuspendReason;
        counts[ImageCount.Suspended] += spa.IsSuspended ? 1 : 0;
        spa.Close();
        Suspended ??= spa.SuspendReason;
    }

    private void UseDataset(Spa spa, string name, bool readOnly)
    {
        Objset? os = Try(() => spa.OpenObjset(name));
        if (os is null)
        {
            return;
        }

        Zfsvfs? fs = Try(() => Zfsvfs.Mount(os, readOnly || os.IsReadOnly, AtimeMode.On));
        if (fs is not null)
        {
            counts[ImageCount.Mounted]++;
            List<(ulong Dir, byte[] Name, ulong Object)> found = List(fs);
            foreach ((_, _, ulong obj) in found.Take(FilesMax))
            {
                ReadOne(fs, obj);
            }

            _ = Call(() => fs.StatFs(out _));
            Change(fs, found);
            _ = Call(fs.SyncFs);
            fs.Unmount();
        }

        spa.CloseObjset(os);
    }

    private List<(ulong Dir, byte[] Name, ulong Object)> List(Zfsvfs fs)
    {
        var found = new List<(ulong Dir, byte[] Name, ulong Object)>();
        var dirs = new List<ulong> { fs.RootObject };
        var seen = new HashSet<ulong> { fs.RootObject };
        for (int i = 0; i < dirs.Count && i < DirsMax && found.Count < NamesMax; i++)
        {
            ulong dir = dirs[i];
            var filler = new ImageFiller(NamesMax);
            ulong before;
            do
            {
                before = filler.Cookie;
                filler.Left = 100;
                if (Call(() => fs.ReadDir(dir, filler.Cookie, filler)) != 0)
                {
                    break;
                }
            }
            while (filler.Left <= 0 && filler.Cookie != before && filler.Entries.Count < NamesMax);

            counts[ImageCount.Names] += filler.Entries.Count;
            foreach ((byte[] name, ulong obj, int type) in filler.Entries)
            {
                ulong real = 0;
                if (Call(() => fs.Lookup(dir, name, out ZnodeAttr attr) is var e && (real = attr.Object) != 0 ? e : e) == 0 && real != obj && name is not [(byte)'.', ..])
                {
                    counts[ImageCount.Errors]++;
                }

                if (name is [(byte)'.'] or [(byte)'.', (byte)'.'])
                {
                    continue;
                }

                found.Add((dir, name, obj));
                if (type == 4 && seen.Add(obj))
                {
                    dirs.Add(obj);
                }
            }
        }

        return found;
    }

    private void ReadOne(Zfsvfs fs, ulong obj)
    {
        ZnodeAttr attr = default;
        if (Call(() => fs.GetAttr(obj, out attr)) != 0)
        {
            return;
        }

        fixed (byte* p = _piece)
        {
            byte* to = p;
            if (Call(() => fs.Open(obj, false)) == 0)
            {
                foreach (ulong at in (ReadOnlySpan<ulong>)[0, attr.Size / 2, attr.Size - Math.Min(attr.Size, PieceBytes)])
                {
                    _ = Call(() => fs.Read(obj, at, PieceBytes, to, out _));
                    _ = Call(() => fs.Seek(obj, 3, at, out _));
                    _ = Call(() => fs.Seek(obj, 4, at, out _));
                }

                _ = Call(() => fs.Close(obj));
            }
        }

        _ = Call(() => fs.ReadLink(obj, _piece, out _));
        int length = 0;
        byte[] list = new byte[ListBytesMax];
        if (Call(() => fs.ListXattr(obj, list, out length)) == 0)
        {
            foreach (string name in Encoding.Latin1.GetString(list.AsSpan(0, Math.Min(length, list.Length))).Split('\0', StringSplitOptions.RemoveEmptyEntries).Take(5))
            {
                _ = Call(() => fs.GetXattr(obj, Encoding.Latin1.GetBytes(name), _piece, out _));
            }
        }
    }

    /// <summary>Makes, changes and removes: new names in old directories, old files cut, moved, overwritten and removed.</summary>
    private void Change(Zfsvfs fs, List<(ulong Dir, byte[] Name, ulong Object)> found)
    {
        ulong fresh = 0;
        foreach (ulong dir in found.Select(static f => f.Dir).Prepend(fs.RootObject).Distinct().Take(6))
        {
            _ = Call(() => fs.Create(s_root, dir, "new"u8, 0x81A4, 0, default, out ZnodeAttr attr) is var e && (fresh = attr.Object) != 0 ? e : e);
            _ = Call(() => fs.Create(s_root, dir, "newdir"u8, 0x41ED, 0, default, out _));
            WriteTo(fs, fresh, 100_000);
        }

        int n = 0;
        foreach ((ulong dir, byte[] name, ulong obj) in found.Take(60))
        {
            switch (n++ % 7)
            {
                case 0:
                    WriteTo(fs, obj, 0);
                    break;
                case 1:
                    _ = Call(() => fs.SetAttr(s_root, obj, SetAttrMask.Size, new ZnodeAttr { Size = 1 }, out _));
                    break;
                case 2:
                    _ = Call(() => fs.SetXattr(s_root, obj, "user.new"u8, new byte[100], 0));
                    break;
                case 3:
                    _ = Call(() => fs.Rename(s_root, dir, name, fs.RootObject, "moved"u8, 0));
                    break;
                case 4:
                    _ = Call(() => fs.Unlink(dir, name));
                    _ = Call(() => fs.Rmdir(dir, name));
                    break;
                case 5:
                    _ = Call(() => fs.Link(obj, fs.RootObject, "linked"u8, out _));
                    _ = Call(() => fs.Fallocate(obj, 3, 0, 8192));
                    break;
                default:
                    _ = Call(() => fs.SetAttr(s_root, obj, SetAttrMask.Mode | SetAttrMask.Uid, new ZnodeAttr { Mode = 0x1ED, Uid = 7 }, out _));
                    break;
            }
        }

        _ = Call(fs.SyncFs);
        foreach ((ulong dir, byte[] name, _) in found.Take(400))
        {
            _ = Call(() => fs.Unlink(dir, name));
        }
    }

    private void WriteTo(Zfsvfs fs, ulong obj, ulong at)
    {
        fixed (byte* p = _piece)
        {
            byte* from = p;
            _ = Call(() => fs.Write(obj, at, PieceBytes, from, ZplWriteFlags.None, out _));
        }
    }

    private int Call(Func<int> call)
    {
        counts[ImageCount.Calls]++;
        int error;
        try
        {
            error = call();
        }
        catch (ZfsException e)
        {
            error = e.Errno;
        }

        if (Kthread.Current.HoldsLocks)
        {
            throw new InvalidOperationException($"a call that ended with error {error} left a lock taken");
        }

        counts[ImageCount.Errors] += error != 0 ? 1 : 0;
        return error;
    }

    private T? Try<T>(Func<T> call)
    {
        T? result = default;
        _ = Call(() =>
        {
            result = call();
            return 0;
        });
        return result;
    }
}
