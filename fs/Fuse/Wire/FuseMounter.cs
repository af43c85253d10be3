using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>
/// Mounts and unmounts: mount(2) as root, fusermount3 otherwise. The kernel gives the descriptor's reader its INIT request at
/// once; nobody gets into the file system before that is answered.
/// </summary>
internal sealed unsafe class FuseMounter
{
    private const string Type = "fuse.zfslite";

    private readonly FuseMountOptions _options;
    private readonly bool _direct;

    private FuseMounter(FuseMountOptions options, string mountPoint, bool direct)
    {
        _options = options;
        _direct = direct;
        MountPoint = mountPoint;
    }

    /// <summary>The directory, as the mount table names it.</summary>
    internal string MountPoint { get; }

    /// <summary>The descriptor of /dev/fuse.</summary>
    internal int Fd { get; private set; } = -1;

    /// <summary>The connection's number under /sys/fs/fuse/connections; -1: unknown.</summary>
    internal int Connection { get; private set; } = -1;

    /// <summary>Mounts.</summary>
    /// <exception cref="FuseMountException">It can't be done; the message says why.</exception>
    internal static FuseMounter Mount(FuseMountOptions options, int maxRead)
    {
        string mountPoint = Check(options.MountPoint);
        bool direct = FuseLibc.GetEuid() == 0 && !options.UseFusermount;
        var mounter = new FuseMounter(options, mountPoint, direct);
        if (direct)
        {
            mounter.MountDirect(maxRead);
        }
        else
        {
            mounter.MountByHelper(maxRead);
        }

        mounter.Connection = FuseMountTable.Find(mountPoint)?.Minor ?? -1;
        return mounter;
    }

    /// <summary>True while the mount is in this process's namespace.</summary>
    internal bool IsMounted => FuseMountTable.Find(MountPoint) is { } m && m.Minor == Connection;

    /// <summary>
    /// Unmounts. The kernel writes its dirty pages through the workers first, which must be serving.
    /// </summary>
    /// <returns>0, EBUSY, or another errno.</returns>
    internal int Unmount(bool lazy)
    {
        if (!IsMounted)
        {
            return 0;
        }

        if (_direct)
        {
            return FuseLibc.Umount2(MountPoint, lazy ? FuseLibc.MntDetach : 0) == 0 ? 0 : Marshal.GetLastPInvokeError();
        }

        (int code, _) = RunHelper(["-u", .. lazy ? (string[])["-z"] : [], "--", MountPoint], null);
        return code == 0 || !IsMounted ? 0 : Errno.EBUSY;
    }

    /// <summary>Has the kernel write its dirty pages to the daemon.</summary>
    internal void FlushKernelCache()
    {
        int fd = FuseLibc.Open(MountPoint, FuseLibc.ORdonly | FuseLibc.ODirectory | FuseLibc.OCloexec);
        if (fd >= 0)
        {
            FuseLibc.SyncFs(fd);
            FuseLibc.Close(fd);
        }
    }

    /// <summary>
    /// Ends the connection: every request, waiting or to come, fails with ECONNABORTED or ENOTCONN. Needs no answer from the
    /// daemon, so it works when that is stuck. False if the system gave no way.
    /// </summary>
    internal bool Abort()
    {
        if (Connection >= 0)
        {
            try
            {
                File.WriteAllText($"/sys/fs/fuse/connections/{Connection}/abort", "1");
                return true;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // fusectl is not mounted, or the connection is gone: the other way follows.
            }
        }

        // A forced unmount breaks the connection first; only then does it mind open files.
        return IsMounted && _direct
            && (FuseLibc.Umount2(MountPoint, FuseLibc.MntForce) == 0 || Marshal.GetLastPInvokeError() == Errno.EBUSY);
    }

    /// <summary>
    /// Lets the kernel read ahead one whole request. The kernel caps what INIT asks for at its default; only root may lift it.
    /// </summary>
    internal void RaiseReadahead(int bytes)
    {
        if (Connection < 0)
        {
            return;
        }

        try
        {
            File.WriteAllText($"/sys/class/bdi/0:{Connection}/read_ahead_kb", (bytes >> 10).ToString());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Not root, or no sysfs: reads come in smaller requests.
        }
    }

    private static string Check(string path)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        if (FuseMountTable.Find(full) is { Type: Type })
        {
            throw new FuseMountException($"{path}: a zfslite file system is mounted there already; unmount it first: zfslite unmount {path}");
        }

        if (File.Exists(full))
        {
            throw new FuseMountException($"{path}: not a directory; a mount point must be one");
        }

        int fd = FuseLibc.Open(full, FuseLibc.ORdonly | FuseLibc.ODirectory | FuseLibc.OCloexec);
        if (fd < 0)
        {
            int error = Marshal.GetLastPInvokeError();
            throw new FuseMountException(error switch
            {
                Errno.ENOENT => $"{path}: no such directory; make it first: mkdir -p {path}",
                Errno.ENOTDIR => $"{path}: not a directory; a mount point must be one",
                Errno.ENOTCONN => $"{path}: a dead FUSE mount is there; remove it first: fusermount3 -u -z {path}",
                Errno.EACCES => $"{path}: permission denied",
                _ => $"{path}: can't be used as a mount point: {ErrnoName.Of(error)}",
            });
        }

        string real = File.ResolveLinkTarget($"/proc/self/fd/{fd}", false)?.FullName ?? full;
        FuseLibc.Close(fd);
        return real;
    }

    private string OptionList(int maxRead)
    {
        bool allowOther = _options.AllowOther ?? FuseLibc.GetEuid() == 0;
        return "default_permissions" + (allowOther ? ",allow_other" : string.Empty) + $",max_read={maxRead}";
    }

    private void MountDirect(int maxRead)
    {
        Fd = FuseLibc.Open("/dev/fuse", FuseLibc.ORdwr | FuseLibc.OCloexec);
        if (Fd < 0)
        {
            int error = Marshal.GetLastPInvokeError();
            throw new FuseMountException(error is Errno.ENOENT or Errno.ENODEV or Errno.ENXIO
                ? "/dev/fuse is missing; load the module: modprobe fuse (in a container, pass the device: --device /dev/fuse)"
                : $"/dev/fuse can't be opened: {ErrnoName.Of(error)}");
        }

        nuint flags = (_options.ReadOnly ? FuseLibc.MsRdonly : 0u) | (_options.Dev ? 0u : FuseLibc.MsNodev)
            | (_options.Suid ? 0u : FuseLibc.MsNosuid) | (_options.NoExec ? FuseLibc.MsNoexec : 0u);
        string data = $"fd={Fd},rootmode=40000,user_id={FuseLibc.GetEuid()},group_id={FuseLibc.GetEgid()},{OptionList(maxRead)}";
        if (FuseLibc.Mount(_options.Source, MountPoint, Type, flags, data) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            FuseLibc.Close(Fd);
            throw new FuseMountException(error switch
            {
                Errno.EPERM => $"{MountPoint}: not allowed to mount (CAP_SYS_ADMIN is missing; in a container: --cap-add SYS_ADMIN)",
                Errno.ENODEV => "the kernel has no FUSE; load the module: modprobe fuse",
                Errno.EBUSY => $"{MountPoint}: busy; another file system is being mounted there",
                _ => $"{MountPoint}: mount failed: {ErrnoName.Of(error)}",
            });
        }
    }

    private void MountByHelper(int maxRead)
    {
        int* pair = stackalloc int[2];
        if (FuseLibc.SocketPair(FuseLibc.AfUnix, FuseLibc.SockStream | FuseLibc.OCloexec, 0, pair) != 0)
        {
            throw new FuseMountException($"socketpair failed: {ErrnoName.Of(Marshal.GetLastPInvokeError())}");
        }

        try
        {
            // The helper inherits its end alone.
            const int setFd = 2;
            FuseLibc.Fcntl(pair[1], setFd, 0);
            string list = OptionList(maxRead) + ",fsname=" + _options.Source.Replace(",", "\\,", StringComparison.Ordinal) + ",subtype=zfslite"
                + (_options.ReadOnly ? ",ro" : string.Empty) + (_options.Dev ? ",dev" : ",nodev") + (_options.Suid ? ",suid" : ",nosuid")
                + (_options.NoExec ? ",noexec" : string.Empty);
            (int code, string error) = RunHelper(["-o", list, "--", MountPoint], pair[1]);
            if (code != 0)
            {
                throw new FuseMountException($"{MountPoint}: {(error.Length > 0 ? error : "fusermount3 failed")}");
            }

            Fd = ReceiveDescriptor(pair[0]);
        }
        finally
        {
            FuseLibc.Close(pair[0]);
            FuseLibc.Close(pair[1]);
        }
    }

    private static (int Code, string Error) RunHelper(string[] arguments, int? socket)
    {
        var start = new ProcessStartInfo("fusermount3", arguments) { RedirectStandardError = true, UseShellExecute = false };
        if (socket is { } fd)
        {
            start.Environment["_FUSE_COMMFD"] = fd.ToString();
        }

        try
        {
            using Process process = Process.Start(start)!;
            string error = process.StandardError.ReadToEnd().Trim();
            process.WaitForExit();
            int newline = error.IndexOf('\n', StringComparison.Ordinal);
            return (process.ExitCode, newline < 0 ? error : error[..newline]);
        }
        catch (Win32Exception e)
        {
            throw new FuseMountException("fusermount3 is not installed; install it: apt-get install fuse3", e);
        }
    }

    private static int ReceiveDescriptor(int socket)
    {
        byte data;
        var piece = new Iovec { Base = &data, Length = 1 };

        // cmsghdr: length 8, level 4, type 4, then the descriptor.
        byte* control = stackalloc byte[24];
        new Span<byte>(control, 24).Clear();
        var message = new FuseLibc.MsgHeader { Pieces = &piece, PieceCount = 1, Control = control, ControlLength = 24 };
        const int cloexec = 0x40000000;
        nint n = FuseLibc.RecvMsg(socket, &message, cloexec);
        if (n < 0 || message.ControlLength < 20 || *(int*)(control + 8) != 1 || *(int*)(control + 12) != 1)
        {
            throw new FuseMountException("fusermount3 sent no descriptor");
        }

        return *(int*)(control + 16);
    }
}
