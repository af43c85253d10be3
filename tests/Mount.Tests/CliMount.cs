using System.Text.Json;
using Xunit;
using ZfsLite.TestKit;

namespace ZfsLite.Tests.Mount;

/// <summary>A pool in a temporary directory, mounted by the command as a user would; unmounted at the end, whatever happened.</summary>
internal sealed class CliMount : IDisposable
{
    internal CliMount()
    {
        PoolDir = Directory.CreateDirectory(Files.File("pool")).FullName;
        Image = Path.Combine(PoolDir, "p.img");
        Mnt = Directory.CreateDirectory(Files.File("mnt")).FullName;
    }

    /// <summary>The directory of the test and its control sockets.</summary>
    internal CliRunDirectory Files { get; } = new();

    /// <summary>Holds the image alone.</summary>
    internal string PoolDir { get; }

    /// <summary>The pool's file.</summary>
    internal string Image { get; }

    /// <summary>The mount point.</summary>
    internal string Mnt { get; }

    /// <summary>Makes the pool "tank".</summary>
    internal void Create(string size = "256M", params string[] more) => Ok(["create", "tank", Image, "--size", size, .. more]);

    /// <summary>Mounts in the background.</summary>
    internal void Mount(params string[] more) => Ok(["mount", Image, Mnt, "--memory", "64M", "--background", .. more]);

    /// <summary>Unmounts; the pool is closed afterwards, and all memory is given back.</summary>
    internal void Unmount()
    {
        Ok("unmount", Mnt);
        Files.CheckLeaks();
    }

    /// <summary>Runs the command; it must succeed and say nothing on standard error.</summary>
    internal string Ok(params string[] args)
    {
        CliResult result = Files.RunProcess(args);
        Assert.True(result is { ExitCode: 0, Error: "" }, $"zfslite {string.Join(' ', args)}: exit code {result.ExitCode}: {result.Error}{Files.Logs()}");
        return result.Output;
    }

    /// <summary>Runs the command; it must fail with one line that holds a text.</summary>
    internal void Refused(string expected, params string[] args)
    {
        CliResult result = Files.RunProcess(args);
        Assert.True(result.ExitCode is 1 or 2, $"exit code {result.ExitCode}: {result.Error}");
        Assert.StartsWith("zfslite: ", result.Error, StringComparison.Ordinal);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.Equal(1, result.Error.Count(c => c == '\n'));
        Assert.DoesNotContain("internal error", result.Error, StringComparison.Ordinal);
    }

    /// <summary>Runs a shell command; it must succeed.</summary>
    internal string Shell(string command, int secondsMax = 120)
    {
        CliResult result = Files.Start("bash", ["-c", "set -euo pipefail; " + command], secondsMax);
        Assert.True(result.ExitCode == 0, $"{command}: exit code {result.ExitCode}: {result.Error}{result.Output}");
        return result.Output.Trim();
    }

    /// <summary>One field of status --json.</summary>
    internal JsonElement Status() => JsonDocument.Parse(Ok("status", Mnt, "--json")).RootElement[0];

    /// <summary>Both judges: zfslite check and zdb -bcc.</summary>
    internal void JudgesAreContent()
    {
        ZdbIsContent("tank");
        Ok("check", Image);
    }

    /// <summary>zdb -bcc, where it is installed. What it says; null: it is not.</summary>
    internal string? ZdbIsContent(string pool)
    {
        if (ZfsFuseTools.Missing is not null)
        {
            return null;
        }

        (int code, string output) = ZfsFuseTools.ZdbCheck(PoolDir, pool);
        Assert.True(code == 0 && output.Contains("No leaks", StringComparison.Ordinal), $"exit code {code}: {output}");
        return output;
    }

    public void Dispose()
    {
        if (File.ReadAllText("/proc/self/mounts").Contains($" {Mnt} ", StringComparison.Ordinal))
        {
            Files.RunProcess(["unmount", Mnt]);
            Files.Start("umount", ["-l", Mnt]);
        }

        try
        {
            Files.CheckLeaks();
        }
        finally
        {
            Files.Dispose();
        }
    }
}
