using System.CommandLine;
using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>zfslite mount DEVICE… DIR [-o …] [--memory 256M] [--policy fstrans] [--torture-reclaim N] [--background]</summary>
internal static class MountCommand
{
    internal static Command Build(CommandIo io)
    {
        var command = new Command("mount", "Mounts a pool on a directory; in the foreground unless --background is given.");
        Argument<string[]> paths = new("device-and-dir") { Description = "The pool's devices, all of them in any order, then the directory to mount on.", HelpName = "DEVICE... DIR", Arity = ArgumentArity.ZeroOrMore };
        Option<string[]> options = new("-o") { Description = "Mount options as mount(8) takes them: " + string.Join(',', MountOptions.Known), HelpName = "option,...", Arity = ArgumentArity.ZeroOrMore };
        Option<string?> memory = new("--memory") { Description = "Size of the memory arena, 16M at least; 256M if not given.", HelpName = "SIZE" };
        Option<string?> policy = new("--policy") { Description = "Memory policy: fstrans (the default), or one of history, which can deadlock: see zfslite kmem policies.", HelpName = "NAME" };
        Option<int?> torture = new("--torture-reclaim") { Description = "One in N unmarked sleeping allocations runs the shrinkers.", HelpName = "N" };
        Option<bool> background = new("--background") { Description = "Return when the mount is usable; the daemon goes on." };
        Option<bool> withoutLog = CommonOptions.WithoutLog();
        Option<bool> trace = new("-d", "--trace") { Description = "Print every FUSE request." };
        Option<string?> svg = new("--deadlock-svg") { Description = "Where to draw a deadlock, if one is proved.", HelpName = "FILE" };
        Option<string?> engine = new("--slab-engine") { Description = "Engine of slab caches: slubq (the default) or spl.", HelpName = "NAME" };
        Option<int?> slabLimit = new("--spl-slab-limit") { Description = "With engine spl, caches of objects up to this size stay with slubq; 16384 if not given, 0: none.", HelpName = "BYTES" };
        Option<string?> watched = new("--slab-debug") { Description = "Watches slab caches: letters (F consistency, Z red zones, P poison, U owners, T trace, L leaks, A failslab; FZPU if none), then caches, as in slub_debug.", HelpName = "FZPU[,CACHE...][;...]" };
        Option<int> limit = new("--unmount-limit") { Hidden = true, DefaultValueFactory = static _ => UnmountGuard.LimitSecondsDefault };
        command.Arguments.Add(paths);
        foreach (Option option in new Option[] { options, memory, policy, torture, withoutLog, background, trace, svg, engine, slabLimit, watched, limit })
        {
            command.Options.Add(option);
        }

        command.SetAction(parsed => Run(io, Settings(
            parsed.GetValue(paths) ?? [],
            MountOptions.Parse(parsed.GetValue(options) ?? []),
            parsed.GetValue(memory),
            parsed.GetValue(policy),
            parsed.GetValue(torture),
            parsed.GetValue(background),
            parsed.GetValue(trace),
            parsed.GetValue(svg),
            parsed.GetValue(limit),
            parsed.GetValue(engine),
            parsed.GetValue(slabLimit),
            parsed.GetValue(watched),
            parsed.GetValue(withoutLog))));
        return command;
    }

    /// <summary>Checks everything that can be checked before the pool is touched.</summary>
    internal static MountSettings Settings(
        string[] paths, MountOptions options, string? memory, string? policy, int? torture, bool background, bool trace, string? svg,
        int unmountLimit = UnmountGuard.LimitSecondsDefault, string? slabEngine = null, int? splSlabLimit = null, string? slabDebug = null, bool withoutLog = false)
    {
        if (paths.Length < 2 && !(options.Remount && paths.Length == 1))
        {
            throw CliException.Usage(paths.Length == 0 ? "mount: no device given" : "mount: no directory given", CommandLine.UsageOf("mount"));
        }

        long bytes = options.MemoryBytes ?? KmemLimits.DefaultBytes;
        if (memory is not null && !ByteSize.TryParse(memory, out bytes))
        {
            throw CliException.Usage($"mount: '{memory}' is not a size", "a size such as 64M or 1G");
        }

        if (bytes < KmemLimits.MinBytes)
        {
            throw CliException.Usage($"an arena of {ByteSize.Format(bytes)} is too small", $"--memory {ByteSize.Format(KmemLimits.MinBytes)} or more");
        }

        if ((torture ?? 0) < 0)
        {
            throw CliException.Usage("mount: --torture-reclaim is a whole number from 0 up", CommandLine.UsageOf("mount"));
        }

        if ((splSlabLimit ?? 0) < 0)
        {
            throw CliException.Usage("mount: --spl-slab-limit is a number of bytes from 0 up", CommandLine.UsageOf("mount"));
        }

        return new MountSettings
        {
            Devices = [.. (paths.Length > 1 ? paths[..^1] : []).Concat(options.Devices).Select(Path.GetFullPath)],
            Directory = Path.GetFullPath(paths[^1]),
            Options = options,
            MemoryBytes = bytes,
            Policy = ParseName<KmemPolicy>(policy ?? options.Policy ?? KmemLimits.NameOf(KmemPolicy.Fstrans), "policy", "--policy"),
            SlabEngine = slabEngine is null ? new KmemOptions().SlabEngine : ParseName<SlabEngineKind>(slabEngine, "slab engine", "--slab-engine"),
            SplSlabLimit = splSlabLimit ?? new SplEngineOptions().SlabLimit,
            SlabDebug = ParseWatched(slabDebug),
            TortureReclaim = torture ?? options.TortureReclaim ?? 0,
            WithoutLog = withoutLog,
            Background = background,
            Trace = trace,
            DeadlockSvg = svg is null ? null : Path.GetFullPath(svg),
            UnmountLimitSeconds = Math.Max(unmountLimit, 1),
        };
    }

    private static SlabDebugSpec ParseWatched(string? text)
    {
        try
        {
            return text is null ? SlabDebugSpec.None : SlabDebugSpec.Parse(text);
        }
        catch (FormatException e)
        {
            throw CliException.Usage("mount: " + e.Message, CommandLine.UsageOf("mount"));
        }
    }

    private static T ParseName<T>(string name, string what, string option)
        where T : struct, Enum =>
        Enum.GetValues<T>().Where(v => KmemLimits.NameOf(v) == name).Select(v => (T?)v).FirstOrDefault()
        ?? throw CliException.Usage($"mount: there is no {what} '{name}'", option + " " + string.Join(", ", Enum.GetValues<T>().Select(KmemLimits.NameOf)));

    internal static int Run(CommandIo io, MountSettings settings)
    {
        if (settings.Options.Remount)
        {
            ControlClient client = ControlClient.Find(settings.Directory)
                ?? throw new CliException($"nothing is mounted by zfslite on {settings.Directory}", "mount it first, without remount");
            client.Send(new ControlRequest { Command = "remount", Options = settings.OptionsText });
            return ExitCode.Ok;
        }

        MountPoint.Check(settings.Directory);
        return settings.Background ? BackgroundLauncher.Launch(settings) : MountDaemon.Run(io, settings);
    }
}
