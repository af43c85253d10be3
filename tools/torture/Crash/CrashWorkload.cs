using System.Text;
using ZfsLite.Fs;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <summary>
/// One worker: random changes in a directory of its own, each of them told to its model, and syncs, whose return is put on record. With sync=always
/// (<c>always</c>) every change that returned counts as synced.
/// </summary>
internal sealed unsafe class CrashWorkload(Zfsvfs fs, Spa spa, DiskLog log, CrashModel model, SeededRandom random, int recordSize, bool always)
{
    private const int FilesMax = 14;
    private const int DirsMax = 5;
    private const int TriesMax = 10;
    private const int SizeMax = 40_000;

    /// <summary>The log points to larger writes, and does not hold them.</summary>
    private const int IndirectMin = 33_000;
    private static readonly Cred s_root = new(0, 0);

    private readonly List<CrashFile> _dirs = [model.Root];
    private readonly List<CrashFile> _files = [];
    private readonly List<CrashFile> _orphans = [];
    private int _serial;

    /// <summary>Takes so many steps.</summary>
    internal void Run(int steps)
    {
        for (int i = 0; i < steps; i++)
        {
            // Some picks find nothing to do.
            int done = model.Step + model.Acks.Count;
            for (int tries = 0; tries < TriesMax && model.Step + model.Acks.Count == done; tries++)
            {
                int before = model.Step;
                Step();
                if (always && model.Step > before)
                {
                    model.Acknowledge(new CrashAck(log.Count, model.Step, 0));
                }
            }
        }

        foreach (CrashFile open in _orphans.Concat(_files).Where(static f => f.IsOpen))
        {
            Require(fs.Close(open.Object), "close");
            open.IsOpen = false;
        }
    }

    private void Step()
    {
        switch (random.Next(32))
        {
            case < 5: Create(); break;
            case < 11: Write(); break;
            case < 13: Truncate(); break;
            case < 16: Rename(); break;
            case 16: Link(); break;
            case < 19: Unlink(); break;
            case 19: MakeDirectory(); break;
            case 20: RemoveDirectory(); break;
            case < 23: SetXattr(); break;
            case 23: ChangeMode(); break;
            case 24: PunchHole(); break;
            case < 29: FileSync(); break;
            case 29: SyncAll(); break;
            case 30: KickOrMend(); break;
            default: OpenOrClose(); break;
        }
    }

    private void Create()
    {
        if (_files.Count >= FilesMax)
        {
            Unlink();
            return;
        }

        bool isLink = random.OneIn(6);
        byte[] target = isLink ? Encoding.UTF8.GetBytes(new string('t', 1 + random.Next(150))) : [];
        CrashFile dir = Dir();
        string name = Name();
        Begin($"create {dir.Object}/{name}");
        Require(fs.Create(s_root, dir.Object, Bytes(name), isLink ? 0xA1FFu : 0x81A4u, 0, target, out ZnodeAttr attr), "create");
        var file = new CrashFile { Object = attr.Object, Mode = attr.Mode, Data = target };
        model.AddName(dir, name, file);
        model.End();
        _files.Add(file);
        if (!isLink && !random.OneIn(3))
        {
            WriteTo(file, 0, 1 + random.Next(SizeMax / 2));
        }
    }

    private void Write()
    {
        if (Regular() is { } file)
        {
            bool append = random.OneIn(4);
            int length = random.Next(9) switch
            {
                < 3 => 1 + random.Next(300),
                3 => IndirectMin + random.Next(SizeMax - IndirectMin),
                _ => 1 + random.Next(SizeMax / 2),
            };
            WriteTo(file, append ? Math.Min(file.Data.Length, SizeMax) : random.Next(SizeMax - length), length);
        }
    }

    private void WriteTo(CrashFile file, int offset, int length)
    {
        var data = new byte[length];
        int period = random.Pick(1, 7, length);
        for (int i = 0; i < length; i++)
        {
            data[i] = i < period ? (byte)random.Next(256) : data[i - period];
        }

        // The first part of a write that makes the file's only block larger is a transaction of its own.
        int cut = offset < recordSize && offset + length > recordSize ? recordSize - offset : length;
        for (int at = 0; at < length; at = at == 0 ? cut : length)
        {
            Begin($"write {file.Object} {offset + at}+{(at == 0 ? cut : length - at)}");
        }

        fixed (byte* p = data)
        {
            Require(fs.Write(file.Object, (ulong)offset, length, p, ZplWriteFlags.None, out int done), "write");
            if (done != length)
            {
                throw new InvalidDataException($"write: {done} of {length} bytes");
            }
        }

        for (int at = 0; at < length;)
        {
            int n = at == 0 ? cut : length - cut;
            byte[] contents = file.Data;
            Array.Resize(ref contents, Math.Max(contents.Length, offset + at + n));
            file.Data = contents == file.Data ? [.. contents] : contents;
            data.AsSpan(at, n).CopyTo(file.Data.AsSpan(offset + at));
            model.Touched(file);
            model.End();
            at += n;
        }
    }

    private void Truncate()
    {
        if (Regular() is { } file)
        {
            int size = random.OneIn(3) ? 0 : random.Next(SizeMax);
            Begin($"truncate {file.Object} to {size}");
            Require(fs.SetAttr(s_root, file.Object, SetAttrMask.Size, new ZnodeAttr { Size = (ulong)size }, out _), "truncate");
            byte[] contents = file.Data;
            Array.Resize(ref contents, size);
            file.Data = contents;
            model.Touched(file);
            model.End();
        }
    }

    private void PunchHole()
    {
        if (Regular() is { Data.Length: > 0 } file)
        {
            int offset = random.Next(file.Data.Length);
            int length = 1 + random.Next(file.Data.Length - offset);
            Begin($"punch {file.Object} {offset}+{length}");
            Require(fs.Fallocate(file.Object, 3, (ulong)offset, (ulong)length), "punch");
            file.Data = [.. file.Data];
            file.Data.AsSpan(offset, length).Clear();
            model.Touched(file);
            model.End();
        }
    }

    private void Rename()
    {
        CrashFile from = Dir(), to = Dir();
        if (from.Entries.Count == 0)
        {
            return;
        }

        (string name, CrashFile file) = Entry(from);
        bool over = to.Entries.Count > 0 && random.OneIn(2);
        string target = over ? Entry(to).Name : Name();
        CrashFile? old = to.Entries.GetValueOrDefault(target);
        bool fits = old is null || (!old.IsDirectory && !file.IsDirectory) || (old.IsDirectory && file.IsDirectory && old.Entries.Count == 0);
        if (!fits || ReferenceEquals(old, file) || (file.IsDirectory && to.IsWithin(file)))
        {
            return;
        }

        Begin($"rename {from.Object}/{name} to {to.Object}/{target}");
        Require(fs.Rename(s_root, from.Object, Bytes(name), to.Object, Bytes(target), 0), "rename");
        if (old is not null)
        {
            Remove(to, target);
        }

        // The new name first: the file stays alive.
        model.AddName(to, target, file);
        model.RemoveName(from, name);
        file.Parent = file.IsDirectory ? to : null;
        model.End();
    }

    private void Link()
    {
        CrashFile dir = Dir();
        if (Regular() is { Links: > 0 and < 4 } file)
        {
            string name = Name();
            Begin($"link {file.Object} as {dir.Object}/{name}");
            Require(fs.Link(file.Object, dir.Object, Bytes(name), out _), "link");
            model.AddName(dir, name, file);
            model.End();
        }
    }

    private void Unlink()
    {
        CrashFile dir = Dir();
        if (dir.Entries.Count > 0 && Entry(dir) is { File.IsDirectory: false } entry)
        {
            Begin($"unlink {dir.Object}/{entry.Name}");
            Require(fs.Unlink(dir.Object, Bytes(entry.Name)), "unlink");
            Remove(dir, entry.Name);
            model.End();
        }
    }

    private void MakeDirectory()
    {
        if (_dirs.Count >= DirsMax)
        {
            RemoveDirectory();
            return;
        }

        CrashFile dir = Dir();
        string name = Name();
        Begin($"mkdir {dir.Object}/{name}");
        Require(fs.Create(s_root, dir.Object, Bytes(name), 0x41ED, 0, [], out ZnodeAttr attr), "mkdir");
        var made = new CrashFile { Object = attr.Object, Mode = attr.Mode };
        model.AddName(dir, name, made);
        model.End();
        _dirs.Add(made);
    }

    private void RemoveDirectory()
    {
        CrashFile dir = Dir();
        if (dir.Entries.Count > 0 && Entry(dir) is { File: { IsDirectory: true, Entries.Count: 0 } } entry)
        {
            Begin($"rmdir {dir.Object}/{entry.Name}");
            Require(fs.Rmdir(dir.Object, Bytes(entry.Name)), "rmdir");
            Remove(dir, entry.Name);
            model.End();
        }
    }

    private void SetXattr()
    {
        if (Regular() is { } file)
        {
            string name = $"user.{(char)('a' + random.Next(3))}";
            if (file.Xattrs.ContainsKey(name) && random.OneIn(3))
            {
                Begin($"remove xattr {name} of {file.Object}");
                Require(fs.RemoveXattr(file.Object, Bytes(name)), "removexattr");
                _ = file.Xattrs.Remove(name);
            }
            else
            {
                var value = new byte[1 + random.Next(random.OneIn(4) ? 3000 : 100)];
                value.AsSpan().Fill((byte)random.Next(256));
                Begin($"set xattr {name} of {file.Object}");
                Require(fs.SetXattr(s_root, file.Object, Bytes(name), value, 0), "setxattr");
                file.Xattrs[name] = CrashHash.Of(value);
            }

            model.Touched(file);
            model.End();
        }
    }

    private void ChangeMode()
    {
        if (Regular() is { } file)
        {
            uint mode = 0x8000u | (uint)random.Next(0x200);
            Begin($"chmod {file.Object} {mode:x}");
            Require(fs.SetAttr(s_root, file.Object, SetAttrMask.Mode, new ZnodeAttr { Mode = mode }, out ZnodeAttr attr), "chmod");
            file.Mode = attr.Mode;
            model.Touched(file);
            model.End();
        }
    }

    private void FileSync()
    {
        CrashFile? file = random.OneIn(4) ? Dir() : Regular();
        if (file is not null)
        {
            int step = file.LastStep;
            Require(fs.Fsync(file.Object), "fsync");
            model.Acknowledge(new CrashAck(log.Count, step, file.Object));
        }
    }

    private void SyncAll()
    {
        int step = model.Step;
        Require(fs.SyncFs(), "syncfs");
        model.Acknowledge(new CrashAck(log.Count, step, 0));
    }

    /// <summary>A log device that failed may be in order again, or not.</summary>
    private void KickOrMend()
    {
        try
        {
            if (spa.ClearLogFaults() == 0)
            {
                spa.Txg.Kick();
            }
        }
        catch (ZfsException)
        {
            // It still fails.
        }
    }

    /// <summary>Files that are open when they lose their last name go on living without one.</summary>
    private void OpenOrClose()
    {
        if (_orphans.Count > 0 && random.OneIn(2))
        {
            CrashFile last = _orphans[^1];
            _orphans.RemoveAt(_orphans.Count - 1);
            last.IsOpen = false;
            Require(fs.Close(last.Object), "close");
        }
        else if (Regular() is { IsOpen: false } file)
        {
            Require(fs.Open(file.Object, truncate: false), "open");
            file.IsOpen = true;
        }
    }

    private void Remove(CrashFile dir, string name)
    {
        CrashFile file = dir.Entries[name];
        model.RemoveName(dir, name);
        if (file.Links == 0)
        {
            _ = _dirs.Remove(file);
            _ = _files.Remove(file);
            if (file.IsOpen)
            {
                _orphans.Add(file);
            }
        }
    }

    private void Begin(string text) => model.Begin(log.Count, text);

    private CrashFile Dir() => _dirs[random.Next(_dirs.Count)];

    private CrashFile? Regular()
    {
        CrashFile? file = _files.Count == 0 ? null : _files[random.Next(_files.Count)];
        return file is { IsRegular: true } ? file : null;
    }

    private (string Name, CrashFile File) Entry(CrashFile dir)
    {
        (string name, CrashFile file) = dir.Entries.ElementAt(random.Next(dir.Entries.Count));
        return (name, file);
    }

    private string Name() => random.OneIn(8) ? $"{new string('n', 60)}{_serial++}" : $"f{_serial++}";

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private static void Require(int error, string what)
    {
        if (error != 0)
        {
            throw new InvalidDataException($"{what}: errno {error} in {Kthread.Current}");
        }
    }
}
