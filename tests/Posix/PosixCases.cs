using System.Text;
using Xunit;
using Xunit.Sdk;

namespace ZfsLite.Tests.Posix;

/// <summary>
/// What cases of every subject share: a directory of their own, results judged by their error's number, other users. A case is a
/// public method with <see cref="PosixCaseAttribute"/>; it throws if the file system is at fault.
/// </summary>
public abstract class PosixCases : IDisposable
{
    private PosixTarget? _target;
    private string? _work;
    private readonly List<int> _open = [];

    /// <summary>The directory of the file system under test.</summary>
    protected string Root => Target.Directory;

    /// <summary>The file system under test.</summary>
    protected PosixTarget Target => _target ?? throw new InvalidOperationException("the case was not begun");

    /// <summary>A fresh directory for this case.</summary>
    protected string Work => _work ??= Directory.CreateDirectory(Path.Combine(Root, "t-" + Path.GetRandomFileName())).FullName;

    /// <summary>The case has removed its directory itself.</summary>
    protected void ForgetWork() => _work = null;

    internal void Begin(PosixTarget target) => _target = target;

    /// <summary>Removes what the case has left: that this works is part of it.</summary>
    internal void End()
    {
        CloseAll();
        if (_work is not null)
        {
            string work = _work;
            _work = null;
            Directory.Delete(work, recursive: true);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        CloseAll();
        if (_work is null)
        {
            return;
        }

        try
        {
            Directory.Delete(_work, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The case has failed already, and its own error is the one to see.
        }
    }

    /// <summary>A path in the case's directory.</summary>
    protected string At(string name) => Path.Combine(Work, name);

    /// <summary>The result of a call that must succeed.</summary>
    protected static long Must(long result) => result >= 0 ? result : throw new XunitException($"it must succeed, and gave {E.Name(result)}");

    /// <summary>The result of a call that must succeed.</summary>
    protected static int Must(int result) => (int)Must((long)result);

    /// <summary>A call that must fail, in one way.</summary>
    protected static void Fails(int expected, long result)
    {
        if (result != -expected)
        {
            throw new XunitException($"it must fail with {E.Name(-expected)}, and gave {E.Name(result)}");
        }
    }

    /// <summary>A descriptor that is closed at the end.</summary>
    protected int Open(string name, int flags, uint mode = 0x1A4)
    {
        int fd = Must(Sys.Open(At(name), flags, mode));
        _open.Add(fd);
        return fd;
    }

    /// <summary>Closes one of them earlier.</summary>
    protected void Close(int fd)
    {
        _open.Remove(fd);
        Must(Sys.Close(fd));
    }

    /// <summary>Makes a file.</summary>
    protected void Make(string name, string content = "x") => File.WriteAllText(At(name), content);

    /// <summary>Makes a file of given bytes.</summary>
    protected void Make(string name, byte[] content) => File.WriteAllBytes(At(name), content);

    /// <summary>Attributes, of a symbolic link its own.</summary>
    private protected FileStatus Stat(string name)
    {
        int result = Sys.Stat(At(name), out FileStatus status);
        return result == 0 ? status : throw new XunitException($"stat of {name} gave {E.Name(result)}");
    }

    private protected static FileStatus Fstat(int fd)
    {
        Must(Sys.Fstat(fd, out FileStatus status));
        return status;
    }

    /// <summary>Does something as somebody else, in the case's directory: names are relative to it.</summary>
    private protected T As<T>(Person who, Func<T> action) => who.Do(Work, action);

    /// <summary>The names in a directory, without the dots, in order.</summary>
    protected string[] Names(string name = "") => [.. Directory.EnumerateFileSystemEntries(At(name)).Select(static p => Path.GetFileName(p)!).Order(StringComparer.Ordinal)];

    /// <summary>Reads to the end of a file, at most so much.</summary>
    protected static byte[] ReadAt(int fd, long offset, int length)
    {
        byte[] data = new byte[length];
        int at = 0;
        while (at < length)
        {
            long n = Must(Sys.Pread(fd, data.AsSpan(at), offset + at));
            if (n == 0)
            {
                break;
            }

            at += (int)n;
        }

        return data[..at];
    }

    /// <summary>Writes all of it.</summary>
    protected static void WriteAt(int fd, long offset, ReadOnlySpan<byte> data)
    {
        for (int at = 0; at < data.Length;)
        {
            at += (int)Must(Sys.Pwrite(fd, data[at..], offset + at));
        }
    }

    /// <summary>Bytes that look random.</summary>
    protected static byte[] Pattern(int length, int seed = 1)
    {
        byte[] data = new byte[length];
        new Random(seed).NextBytes(data);
        return data;
    }

    /// <summary>Text as bytes.</summary>
    protected static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    /// <summary>
    /// What becomes true with the file system's next transaction, or the one after: blocks are counted when they are written, and
    /// given back later. A quarter of a minute is enough for any.
    /// </summary>
    protected static bool Soon(Func<bool> condition)
    {
        for (int i = 0; i < 150 && !condition(); i++)
        {
            Thread.Sleep(100);
        }

        return condition();
    }

    /// <summary>Can the kernel be made to forget?</summary>
    protected bool CanEvict => (~Target.Has & (PosixNeeds.Root | PosixNeeds.MountPoint)) == 0;

    /// <summary>Has the kernel forget the names and inodes of this mount that nobody uses: remounting does.</summary>
    protected void Evict()
    {
        const nuint remount = 32;
        Assert.True(CanEvict, "the case does not say that it needs the root of a mount");
        Must(Sys.Result(Libc.Mount("none", Root, null, remount, null)));
    }

    /// <summary>Mounts the file system again. Nothing may be open.</summary>
    protected void Remount()
    {
        CloseAll();
        Target.Remount!();
    }

    /// <summary>Closes what the case has open in the descriptor table of a thread that has its own; elsewhere it stays open.</summary>
    protected void CloseInThisTable()
    {
        foreach (int fd in _open)
        {
            _ = Sys.Close(fd);
        }
    }

    private void CloseAll()
    {
        foreach (int fd in _open)
        {
            _ = Sys.Close(fd);
        }

        _open.Clear();
    }
}
