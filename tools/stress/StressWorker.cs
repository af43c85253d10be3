using System.IO.MemoryMappedFiles;

namespace ZfsLite.Stress;

/// <summary>
/// One thread's files, in two directories of its own, and the work it does on them. Everything it does is chosen by its own
/// generator, so a seed repeats the choices, if not the times.
/// </summary>
internal sealed class StressWorker
{
    private const int FilesMax = 60;
    private const int UnitsMax = 1200; // 600 KiB: several records of 128 KiB
    private const int UnitsPerWriteMax = 300;

    private readonly string _mount;
    private readonly Random _random;
    private readonly string[] _directories;
    private readonly StressCounts _counts;
    private readonly byte[] _buffer = new byte[UnitsMax * Unit.Bytes];
    private List<ModelFile> _files = [];
    private readonly List<ModelFile> _goneSince = [];
    private ulong _nextId;

    internal StressWorker(int number, int seed, string mount, StressCounts counts)
    {
        _mount = mount;
        _random = new Random(HashCode(seed, number));
        _directories = [$"w{number}/a", $"w{number}/b"];
        _counts = counts;
        _nextId = (ulong)(number + 1) << 32;
        Array.ForEach(_directories, d => Directory.CreateDirectory(Path.Combine(mount, d)));
    }

    /// <summary>Files it has now.</summary>
    internal int FileCount => _files.Count;

    /// <summary>
    /// Works until told to stop. Returns null, or the I/O error that ended it: expected if the daemon was killed meanwhile.
    /// </summary>
    internal Exception? Work(Func<bool> stop)
    {
        try
        {
            while (!stop())
            {
                Step();
            }

            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return e;
        }
    }

    /// <summary>After a clean remount: everything as it was left.</summary>
    internal void VerifyExactly()
    {
        var expected = new HashSet<string>(_files.Select(f => f.Name), StringComparer.Ordinal);
        foreach (string name in NamesOnDisk())
        {
            if (!expected.Remove(name))
            {
                throw new StressFailureException($"{name} is there after a clean remount, but was removed or renamed");
            }
        }

        if (expected.Count > 0)
        {
            throw new StressFailureException($"{expected.First()} is gone after a clean remount ({expected.Count} such files)");
        }

        foreach (ModelFile file in _files)
        {
            file.MustEqual(ReadUnits(file, file.Name));
            file.Synced();
        }

        _goneSince.Clear();
        _counts.Add("files verified", _files.Count);
    }

    /// <summary>After a kill: what was fsynced is there, nothing is corrupt; goes on from what is there.</summary>
    internal void VerifyAfterKill()
    {
        HashSet<string> names = [.. NamesOnDisk()];
        var survivors = new List<ModelFile>();
        int checkedFiles = names.Count;
        foreach (ModelFile file in _files.Concat(_goneSince))
        {
            string? found = file.PossibleNames.Reverse().FirstOrDefault(names.Contains);
            if (found is null)
            {
                if (file.MustExist)
                {
                    throw new StressFailureException($"{file.Name} was fsynced and is gone after a kill");
                }

                continue;
            }

            List<uint> units = ReadUnits(file, found);
            file.MustBePossible(units);
            names.Remove(found);
            if (file.Unlinked)
            {
                File.Delete(Path.Combine(_mount, found));
                continue;
            }

            file.Adopt(found, units);
            survivors.Add(file);
        }

        if (names.Count > 0)
        {
            throw new StressFailureException($"{names.First()} is there after a kill, but nobody made it");
        }

        _files = survivors;
        _goneSince.Clear();
        _counts.Add("files verified after a kill", checkedFiles);
    }

    private void Step()
    {
        int dice = _random.Next(100);
        if (_files.Count == 0 || (dice < 14 && _files.Count < FilesMax))
        {
            Create();
            return;
        }

        ModelFile file = _files[_random.Next(_files.Count)];
        switch (dice)
        {
            case < 44:
                Write(file);
                break;
            case < 52:
                Truncate(file);
                break;
            case < 60:
                Rename(file);
                break;
            case < 67:
                Unlink(file);
                break;
            case < 75:
                WriteMapped(file);
                break;
            case < 90:
                Read(file);
                break;
            default:
                Fsync(file);
                break;
        }
    }

    private void Create()
    {
        ulong id = _nextId++;
        string directory = _directories[_random.Next(_directories.Length)];
        var file = new ModelFile(id, $"{directory}/f{id:x}");
        _files.Add(file);
        using (File.Create(PathOf(file)))
        {
            _counts.Add("creates");
        }

        Write(file);
    }

    private void Write(ModelFile file)
    {
        int first = _random.Next(Math.Min(file.Units.Count + 40, UnitsMax - 1));
        int count = _random.Next(1, Math.Min(UnitsPerWriteMax, UnitsMax - first) + 1);
        uint version = file.Write(first, count);
        Span<byte> data = Contents(file, first, count, version);
        using var stream = new FileStream(PathOf(file), FileMode.Open, FileAccess.Write, FileShare.ReadWrite, 0);
        RandomAccess.Write(stream.SafeFileHandle, data, first * (long)Unit.Bytes);
        _counts.Add("writes");
        _counts.Add("bytes written", data.Length);
    }

    private unsafe void WriteMapped(ModelFile file)
    {
        if (file.Units.Count == 0)
        {
            return;
        }

        int first = _random.Next(file.Units.Count);
        int count = _random.Next(1, Math.Min(UnitsPerWriteMax, file.Units.Count - first) + 1);
        uint version = file.Write(first, count);
        byte[] data = Contents(file, first, count, version).ToArray();
        using var map = MemoryMappedFile.CreateFromFile(PathOf(file), FileMode.Open, null, file.Units.Count * (long)Unit.Bytes, MemoryMappedFileAccess.ReadWrite);
        using MemoryMappedViewAccessor view = map.CreateViewAccessor(first * (long)Unit.Bytes, data.Length);
        byte* mapped = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref mapped);
        try
        {
            Posix.StoreMapped(mapped + view.PointerOffset, data);
        }
        finally
        {
            view.SafeMemoryMappedViewHandle.ReleasePointer();
        }

        view.Flush();
        _counts.Add("mmap writes");
    }

    private void Truncate(ModelFile file)
    {
        int units = _random.Next(4) == 0 ? 0 : _random.Next(Math.Min(file.Units.Count + 100, UnitsMax));
        file.SetLength(units);
        using var stream = new FileStream(PathOf(file), FileMode.Open, FileAccess.Write, FileShare.ReadWrite, 0);
        stream.SetLength(units * (long)Unit.Bytes);
        _counts.Add("truncates");
    }

    private void Rename(ModelFile file)
    {
        string from = PathOf(file);
        file.Rename($"{_directories[_random.Next(_directories.Length)]}/f{file.Id:x}.{_random.Next(1000)}");
        File.Move(from, PathOf(file), overwrite: true);
        _counts.Add("renames");
    }

    private void Unlink(ModelFile file)
    {
        file.Unlink();
        _ = _files.Remove(file);
        _goneSince.Add(file);
        File.Delete(PathOf(file));
        _counts.Add("unlinks");
    }

    private void Read(ModelFile file)
    {
        file.MustEqual(ReadUnits(file, file.Name));
        _counts.Add("reads");
    }

    private void Fsync(ModelFile file)
    {
        using (var stream = new FileStream(PathOf(file), FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, 0))
        {
            stream.Flush(flushToDisk: true);
        }

        Array.ForEach(_directories, d => Posix.SyncDirectory(Path.Combine(_mount, d)));
        file.Synced();
        _counts.Add("fsyncs");
    }

    private Span<byte> Contents(ModelFile file, int first, int count, uint version)
    {
        Span<byte> data = _buffer.AsSpan(0, count * Unit.Bytes);
        for (int i = 0; i < count; i++)
        {
            Unit.Fill(data.Slice(i * Unit.Bytes, Unit.Bytes), file.Id, first + i, version);
        }

        return data;
    }

    private List<uint> ReadUnits(ModelFile file, string name)
    {
        byte[] bytes = File.ReadAllBytes(Path.Combine(_mount, name));
        if (bytes.Length % Unit.Bytes != 0)
        {
            throw new StressFailureException($"{name}: {bytes.Length} bytes long, which no write or truncation gives");
        }

        var units = new List<uint>(bytes.Length / Unit.Bytes);
        for (int i = 0; i < bytes.Length / Unit.Bytes; i++)
        {
            units.Add(Unit.Identify(bytes.AsSpan(i * Unit.Bytes, Unit.Bytes), file.Id, i)
                ?? throw new StressFailureException($"{name}: corrupt at byte {i * (long)Unit.Bytes}"));
        }

        return units;
    }

    private IEnumerable<string> NamesOnDisk() =>
        _directories.SelectMany(d => Directory.GetFiles(Path.Combine(_mount, d)).Select(f => $"{d}/{Path.GetFileName(f)}"));

    private string PathOf(ModelFile file) => Path.Combine(_mount, file.Name);

    private static int HashCode(int seed, int number) => unchecked((seed * 397) ^ (number * 7919));
}
