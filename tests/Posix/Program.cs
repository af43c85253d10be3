using System.CommandLine;
using System.Diagnostics;
using Spectre.Console;
using ZfsLite.Tests.Posix;

Argument<string> directory = new("DIR") { Description = "A directory on the file system under test. Each case works in a new directory in it, and removes that." };
Option<string[]> only = new("--only") { Description = "Only cases whose name contains one of these texts.", AllowMultipleArgumentsPerToken = true };
Option<bool> list = new("--list") { Description = "Names the cases, and runs none." };
Option<bool> slow = new("--slow") { Description = "Also cases that take minutes." };
Option<string?> unmount = new("--unmount") { Description = "Shell command that unmounts the file system, for the cases that mount it again." };
Option<string?> mount = new("--mount") { Description = "Shell command that mounts it again." };
var root = new RootCommand("What POSIX and Linux promise of a file system, as cases that run on any mount. As root all of them run. Exit code 1: some failed.") { directory };
foreach (Option option in new Option[] { only, list, slow, unmount, mount })
{
    root.Options.Add(option);
}

root.SetAction(parsed =>
{
    string path = parsed.GetRequiredValue(directory);
    if (!Directory.Exists(path))
    {
        Console.Error.WriteLine($"posix: {path}: no such directory");
        return 2;
    }

    string[] words = parsed.GetValue(only) ?? [];
    PosixCase[] cases = [.. PosixCatalog.All.Where(c => words.Length == 0 || words.Any(w => c.Name.Contains(w, StringComparison.OrdinalIgnoreCase)))];
    if (parsed.GetValue(list))
    {
        Array.ForEach(cases, static c => Console.WriteLine(c.Name));
        return 0;
    }

    Action? remount = parsed.GetValue(unmount) is { } down && parsed.GetValue(mount) is { } up ? () => { Shell(down); Shell(up); } : null;
    var target = new PosixTarget(path, remount, parsed.GetValue(slow));
    List<PosixOutcome> outcomes = [];
    foreach (PosixCase posixCase in cases)
    {
        PosixOutcome outcome = RunOne(posixCase, target);
        outcomes.Add(outcome);
        if (outcome.Error is not null)
        {
            Console.WriteLine($"failed {posixCase.Name}: {outcome.Error}");
        }
    }

    return Summary(target, outcomes);
});
return root.Parse(args).Invoke();

static PosixOutcome RunOne(PosixCase posixCase, PosixTarget target)
{
    if (target.ReasonToSkip(posixCase) is { } reason)
    {
        return new PosixOutcome(posixCase, reason, null, 0);
    }

    long start = Stopwatch.GetTimestamp();
    string? error = null;
    try
    {
        posixCase.Run(target);
    }
    catch (Exception e)
    {
        string at = new StackTrace(e, true).GetFrames().FirstOrDefault(static f => f.GetFileName()?.EndsWith("Cases.cs", StringComparison.Ordinal) == true && f.GetFileName()?.EndsWith("PosixCases.cs", StringComparison.Ordinal) == false) is { } frame
            ? $" (line {frame.GetFileLineNumber()} of {Path.GetFileName(frame.GetFileName())})"
            : string.Empty;
        error = e.Message + at;
    }

    return new PosixOutcome(posixCase, null, error, Stopwatch.GetElapsedTime(start).TotalSeconds);
}

static int Summary(PosixTarget target, List<PosixOutcome> outcomes)
{
    var table = new Table().Border(TableBorder.Simple);
    table.AddColumn("subject");
    foreach (string head in (string[])["passed", "failed", "skipped", "seconds"])
    {
        table.AddColumn(new TableColumn(head).RightAligned());
    }

    foreach (IGrouping<string, PosixOutcome> subject in outcomes.GroupBy(static o => o.Case.Subject))
    {
        table.AddRow(
            subject.Key,
            $"{subject.Count(static o => o.Error is null && o.Skipped is null)}",
            $"{subject.Count(static o => o.Error is not null)}",
            $"{subject.Count(static o => o.Skipped is not null)}",
            $"{subject.Sum(static o => o.Seconds):F1}");
    }

    AnsiConsole.Write(table);
    foreach (IGrouping<string?, PosixOutcome> reason in outcomes.Where(static o => o.Skipped is not null).GroupBy(static o => o.Skipped))
    {
        Console.WriteLine($"skipped {string.Join(", ", reason.Select(static o => o.Case.Name))}: {reason.Key}");
    }

    int failed = outcomes.Count(static o => o.Error is not null), skipped = outcomes.Count(static o => o.Skipped is not null);
    Console.WriteLine($"{target.Kind} at {target.Directory}: {outcomes.Count - failed - skipped} passed, {failed} failed, {skipped} skipped");
    return failed == 0 ? 0 : 1;
}

static void Shell(string command)
{
    using Process process = Process.Start("sh", ["-c", command]);
    process.WaitForExit();
    if (process.ExitCode != 0)
    {
        throw new InvalidOperationException($"'{command}' ended with exit code {process.ExitCode}");
    }
}
