using System.Diagnostics;
using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>
/// A fact that mounts as an ordinary user. Root becomes one in a mount namespace of its own, with a /dev/fuse that everybody may open;
/// skipped, saying why, where neither is possible.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class OrdinaryUserFactAttribute : FactAttribute
{
    private const string Probe =
        "d=$(mktemp -d); trap 'rmdir $d' EXIT; unshare -m --propagation private sh -c \"mount -t tmpfs none $d && mknod -m 666 $d/fuse c 10 229"
        + " && setpriv --reuid 65534 --regid 65534 --clear-groups sh -c ': <> $d/fuse'\"";

    /// <summary>Makes one.</summary>
    public OrdinaryUserFactAttribute() => Skip = Reason();

    /// <summary>Does this process have to change its user?</summary>
    internal static bool IsRoot => string.Equals(Environment.UserName, "root", StringComparison.Ordinal);

    private static string? Reason() =>
        !File.Exists("/dev/fuse") ? "there is no /dev/fuse"
        : !Succeeds("command -v fusermount3") ? "fusermount3 is not installed"
        : IsRoot && !Succeeds(Probe) ? "root can't make a mount namespace with a /dev/fuse for everybody here"
        : !IsRoot && !Succeeds(": <> /dev/fuse") ? "this user may not open /dev/fuse"
        : null;

    private static bool Succeeds(string command)
    {
        using Process process = Process.Start(new ProcessStartInfo("sh", ["-c", $"{{ {command}; }} > /dev/null 2>&1"]))!;
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}
