using System.CommandLine;
using ZfsLite.Stress;

Option<string> zfslite = new("--zfslite") { Description = "Path of the command under test.", Required = true };
Option<double> minutes = new("--minutes") { Description = "How long to work.", DefaultValueFactory = _ => 3 };
Option<int?> seed = new("--seed") { Description = "Replays the choices of another run; times differ." };
Option<int> workers = new("--workers") { Description = "Threads that change files.", DefaultValueFactory = _ => 4 };
Option<string?> directory = new("--directory") { Description = "Where the pool's file and the mount point lie; a new one under /tmp if not given." };
var root = new RootCommand("Parallel creates, writes, truncates, renames, unlinks, mmap and reads on a ZfsLite mount, with remounts and kill -9 of the daemon. Every file describes itself; what was fsynced must be there after every kill.");
foreach (Option option in new Option[] { zfslite, minutes, seed, workers, directory })
{
    root.Options.Add(option);
}

root.SetAction(parsed =>
{
    var settings = new StressSettings
    {
        Zfslite = Path.GetFullPath(parsed.GetRequiredValue(zfslite)),
        Duration = TimeSpan.FromMinutes(parsed.GetValue(minutes)),
        Seed = parsed.GetValue(seed) ?? Random.Shared.Next(),
        Workers = Math.Clamp(parsed.GetValue(workers), 1, 64),
        Directory = parsed.GetValue(directory) is { } d ? Directory.CreateDirectory(d).FullName : Directory.CreateTempSubdirectory("zfslite-stress-").FullName,
    };
    return new StressRun(settings).Run();
});
return root.Parse(args).Invoke();
