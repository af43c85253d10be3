using ZfsLite.Fs;

namespace ZfsLite.Cli;

/// <summary>
/// The options after -o, in the form mount(8) and fstab use: a comma-separated list of words and word=value pairs. Later words
/// win over earlier ones, as in mount(8).
/// </summary>
public sealed class MountOptions
{
    /// <summary>Words of the mount table, which mount(8) hands back on a remount: they are in force already.</summary>
    private static readonly string[] s_fromMountTable = ["user_id", "group_id", "max_read", "rootmode", "fsname", "subtype"];

    private static readonly string[] s_known =
    [
        "ro", "rw", "allow_other", "default_permissions", "atime", "relatime", "noatime", "strictatime", "dev", "nodev",
        "suid", "nosuid", "exec", "noexec", "remount", "defaults", "auto", "noauto", "user", "nouser", "users", "nofail", "_netdev",
        "dataset=NAME", "device=PATH", "memory=SIZE", "policy=NAME", "torture_reclaim=N",
    ];

    /// <summary>Every word understood, for messages.</summary>
    public static IReadOnlyList<string> Known => s_known;

    /// <summary>ro.</summary>
    public bool ReadOnly { get; private set; }

    /// <summary>True if ro or rw was given at all; a remount changes only what is named.</summary>
    public bool ReadOnlyGiven { get; private set; }

    /// <summary>allow_other: users other than the one who mounts may use the mount.</summary>
    public bool AllowOther { get; private set; }

    /// <summary>default_permissions: the kernel checks permission bits. Always in force here; accepted for fstab's sake.</summary>
    public bool DefaultPermissions { get; private set; }

    /// <summary>How reads update the access time; null: the dataset's own property.</summary>
    public AtimeMode? Atime { get; private set; }

    /// <summary>dev: device files are usable. Off unless asked for; root only.</summary>
    public bool? Dev { get; private set; }

    /// <summary>suid: set-user-id bits work. Off unless asked for; root only.</summary>
    public bool? Suid { get; private set; }

    /// <summary>exec: programs may be run. On by default.</summary>
    public bool? Exec { get; private set; }

    /// <summary>remount: change the options of a mount that exists.</summary>
    public bool Remount { get; private set; }

    /// <summary>dataset=NAME: a child file system (pool/fs or fs), or a snapshot (fs@snap).</summary>
    public string? Dataset { get; private set; }

    /// <summary>device=PATH, once for each: the pool's other devices, since mount(8) and fstab have room for one only.</summary>
    public List<string> Devices { get; } = [];

    /// <summary>memory=SIZE: size of the arena, bytes; null if not given.</summary>
    public long? MemoryBytes { get; private set; }

    /// <summary>policy=NAME, as --policy.</summary>
    public string? Policy { get; private set; }

    /// <summary>torture_reclaim=N, as --torture-reclaim.</summary>
    public int? TortureReclaim { get; private set; }

    /// <summary>Parses any number of -o values. Throws <see cref="CliException"/> naming the first word not understood.</summary>
    public static MountOptions Parse(IEnumerable<string> values)
    {
        var options = new MountOptions();
        foreach (string value in values)
        {
            foreach (string word in value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            {
                options.Apply(word);
            }
        }

        return options;
    }

    /// <summary>The options as text that parses to the same, without the devices.</summary>
    public override string ToString()
    {
        var words = new List<string>();
        void Add(bool given, string word)
        {
            if (given)
            {
                words.Add(word);
            }
        }

        Add(ReadOnlyGiven, ReadOnly ? "ro" : "rw");
        Add(AllowOther, "allow_other");
        Add(DefaultPermissions, "default_permissions");
        Add(Atime is not null, NameOf(Atime.GetValueOrDefault()));
        Add(Dev is not null, Dev == true ? "dev" : "nodev");
        Add(Suid is not null, Suid == true ? "suid" : "nosuid");
        Add(Exec is not null, Exec == true ? "exec" : "noexec");
        Add(Remount, "remount");
        Add(Dataset is not null, $"dataset={Dataset}");
        return string.Join(',', words);
    }

    /// <summary>The mount option that stands for a way to update access times.</summary>
    internal static string NameOf(AtimeMode atime) => atime switch { AtimeMode.On => "atime", AtimeMode.Relatime => "relatime", _ => "noatime" };

    private void Apply(string word)
    {
        int equals = word.IndexOf('=', StringComparison.Ordinal);
        if (equals > 0)
        {
            ApplyPair(word, word[..equals], word[(equals + 1)..]);
            return;
        }

        switch (word)
        {
            case "ro" or "rw":
                ReadOnly = word == "ro";
                ReadOnlyGiven = true;
                break;
            case "allow_other":
                AllowOther = true;
                break;
            case "default_permissions":
                DefaultPermissions = true;
                break;
            case "atime" or "strictatime":
                Atime = AtimeMode.On;
                break;
            case "relatime":
                Atime = AtimeMode.Relatime;
                break;
            case "noatime":
                Atime = AtimeMode.Off;
                break;
            case "dev" or "nodev":
                Dev = word == "dev";
                break;
            case "suid" or "nosuid":
                Suid = word == "suid";
                break;
            case "exec" or "noexec":
                Exec = word == "exec";
                break;
            case "remount":
                Remount = true;
                break;
            case "defaults" or "auto" or "noauto" or "user" or "nouser" or "users" or "nofail" or "_netdev":
                break;
            default:
                if (!word.StartsWith("x-", StringComparison.Ordinal))
                {
                    throw Unknown(word);
                }

                break;
        }
    }

    private void ApplyPair(string word, string key, string value)
    {
        if (value.Length == 0)
        {
            throw new CliException($"mount option '{key}=' has no value", $"type: -o {key}=VALUE", ExitCode.Usage);
        }

        switch (key)
        {
            case "dataset":
                Dataset = value;
                break;
            case "device":
                Devices.Add(value);
                break;
            case "memory":
                MemoryBytes = ByteSize.TryParse(value, out long bytes) ? bytes : throw BadValue(word, "a size such as 256M");
                break;
            case "policy":
                Policy = value;
                break;
            case "torture_reclaim":
                TortureReclaim = int.TryParse(value, out int n) && n >= 0 ? n : throw BadValue(word, "a whole number from 0 up");
                break;
            default:
                if (!key.StartsWith("x-", StringComparison.Ordinal) && !s_fromMountTable.Contains(key))
                {
                    throw Unknown(word);
                }

                break;
        }
    }

    private static CliException BadValue(string word, string wanted) => new($"mount option '{word}' needs {wanted}", null, ExitCode.Usage);

    private static CliException Unknown(string word) =>
        new($"unknown mount option '{word}'", $"known: {string.Join(',', s_known)}", ExitCode.Usage);
}
