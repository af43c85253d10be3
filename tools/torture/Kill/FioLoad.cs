using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;

namespace ZfsLite.Torture;

/// <summary>
/// fio, writing blocks in random order with an fsync after each; every 8 bytes of a block hold its offset. Its own log of what it issued is the journal: a
/// write is acknowledged when the write after its fsync was issued.
/// </summary>
internal sealed class FioLoad : IDisposable
{
    private const int BlockBytes = 4096;
    private const int FileBytes = 4 << 20;
    private const int SecondsMax = 60;

    private readonly string _directory;
    private readonly string _log;
    private readonly bool _ackEarly;
    private Process? _fio;
    private string _file = "";

    internal FioLoad(string mount, string scratch, bool ackEarly)
    {
        _directory = Path.Combine(mount, "fio");
        _log = Path.Combine(scratch, "fio.log");
        _ackEarly = ackEarly;
    }

    internal static bool IsThere => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(static d => File.Exists(Path.Combine(d, "fio")));

    /// <summary>Makes the directory, before the first kill.</summary>
    internal void Prepare()
    {
        Directory.CreateDirectory(_directory);
        KillPosix.SyncDirectory(_directory);
        KillPosix.SyncDirectory(Path.GetDirectoryName(_directory)!);
    }

    /// <summary>Starts it on a new file. It ends by itself when the file system is gone.</summary>
    internal void Start(long round)
    {
        File.Delete(_log);
        _file = string.Create(CultureInfo.InvariantCulture, $"f{round}");
        _fio = Process.Start(new ProcessStartInfo("fio",
        [
            "--name=k", $"--directory={_directory}", $"--filename={_file}", "--rw=randwrite", $"--bs={BlockBytes}", $"--size={FileBytes}", "--fsync=1",
            "--ioengine=psync", "--fallocate=none", "--loops=1000", "--verify=pattern", "--verify_pattern=%o", "--do_verify=0", "--verify_state_save=0", $"--write_iolog={_log}", "--output=/dev/null",
        ])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        _ = _fio.StandardOutput.ReadToEndAsync();
        _ = _fio.StandardError.ReadToEndAsync();
    }

    /// <summary>After a kill of the daemon.</summary>
    internal void AwaitEnd()
    {
        if (_fio is { } fio && !fio.WaitForExit(SecondsMax * 1000))
        {
            throw new KillFailureException($"fio hangs in the file system: not back after {SecondsMax} s");
        }
    }

    /// <summary>Holds the file against the log, and removes it. The number of blocks that were acknowledged.</summary>
    internal long Verify()
    {
        if (_fio is null)
        {
            return 0;
        }

        _fio.Dispose();
        _fio = null;
        HashSet<long> acknowledged = ReadLog();
        string path = Path.Combine(_directory, _file);
        byte[] data = File.Exists(path) ? File.ReadAllBytes(path) : [];
        foreach (long offset in acknowledged)
        {
            if (offset + BlockBytes > data.Length || !IsWritten(data, offset))
            {
                throw new KillFailureException($"{path}: the block at {offset} was written and fsynced, and is not there (the file has {data.Length} bytes)");
            }
        }

        for (long offset = 0; offset + BlockBytes <= data.Length; offset += BlockBytes)
        {
            if (!IsWritten(data, offset) && data.AsSpan((int)offset, BlockBytes).ContainsAnyExcept((byte)0))
            {
                throw new KillFailureException($"{path}: the block at {offset} is neither empty nor what was written");
            }
        }

        File.Delete(path);
        foreach (string other in Directory.GetFiles(_directory))
        {
            throw new KillFailureException($"{other} was removed and that was committed, and it is there");
        }

        KillPosix.SyncDirectory(_directory);
        return acknowledged.Count;
    }

    public void Dispose()
    {
        if (_fio is { } fio)
        {
            fio.Kill();
            fio.WaitForExit();
            fio.Dispose();
            _fio = null;
        }
    }

    private HashSet<long> ReadLog()
    {
        var acknowledged = new HashSet<long>();
        var pending = new List<long>();
        var synced = new List<long>();
        foreach (string line in File.Exists(_log) ? File.ReadAllLines(_log) : [])
        {
            switch (line.Split(' '))
            {
                case [_, _, "write", var offset, _]:
                    acknowledged.UnionWith(synced);
                    synced.Clear();
                    pending.Add(long.Parse(offset, CultureInfo.InvariantCulture));
                    break;
                case [_, _, "sync", ..]:
                    synced.AddRange(pending);
                    pending.Clear();
                    break;
            }
        }

        acknowledged.UnionWith(_ackEarly ? [.. synced, .. pending] : []);
        return acknowledged;
    }

    private static bool IsWritten(byte[] data, long offset)
    {
        for (int i = 0; i < BlockBytes; i += sizeof(ulong))
        {
            if (BinaryPrimitives.ReadInt64LittleEndian(data.AsSpan((int)offset + i)) != offset)
            {
                return false;
            }
        }

        return true;
    }
}
