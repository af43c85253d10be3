using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace ZfsLite.Torture;

/// <summary>How far a run has come: a small file, replaced at one stroke, so that a kill leaves the old one or the new one.</summary>
internal sealed record TortureState
{
    private static readonly JsonSerializerOptions s_json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.Never,
    };

    /// <summary>kmem, crash or images.</summary>
    public required string Torture { get; init; }

    public required string[] Engines { get; init; }

    public required ulong FirstSeed { get; init; }

    /// <summary>All seeds before it are done, on every engine, and are in the counts.</summary>
    public ulong NextSeed { get; set; }

    /// <summary>Schedules asked for in all; null: no end.</summary>
    public long? Schedules { get; init; }

    /// <summary>crash: states asked for in all.</summary>
    public long? States { get; init; }

    /// <summary>Commit and build that it ran on: counts of different ones are not added up.</summary>
    public required string Build { get; init; }

    /// <summary>Time spent, over all parts of the run.</summary>
    public double Seconds { get; set; }

    public TortureFailure? Failure { get; set; }

    /// <summary>Sums by engine.</summary>
    public required Dictionary<string, Dictionary<string, long>> Counts { get; init; }

    /// <summary>Commit and the identities of what is under test and of the tool, which change with their code.</summary>
    internal static string CurrentBuild(string torture)
    {
        Assembly tool = typeof(TortureState).Assembly;
        string version = tool.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "?";
        string commit = version.Contains('+', StringComparison.Ordinal) ? version[(version.IndexOf('+', StringComparison.Ordinal) + 1)..] : version;
        string fs = torture != TortureSettings.Kmem ? $" txn {Id(typeof(Txn.TxgEngine).Assembly)} fs {Id(typeof(Fs.Spa).Assembly)}" : string.Empty;
        return $"{commit} kmem {Id(typeof(Kmem.KmemSystem).Assembly)}{fs} torture {Id(tool)}";
    }

    /// <summary>Why this build can't go on from it; null: it can.</summary>
    internal string? WhyNot(string torture) => CurrentBuild(torture) is var build && Torture == torture && Build == build ? null
        : $"the state is of another build (torture {Torture}, {Build}; this is torture {torture}, {build}): begin anew, without --resume, from --seed {NextSeed} perhaps";

    /// <summary>Reads a file; null: there is none.</summary>
    /// <exception cref="InvalidDataException">It is no state.</exception>
    internal static TortureState? Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<TortureState>(File.ReadAllText(path), s_json) ?? throw new InvalidDataException($"{path} is empty");
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{path} is no state of a torture run: {e.Message}");
        }
    }

    internal void Write(string path)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        string fresh = path + ".new";
        File.WriteAllText(fresh, JsonSerializer.Serialize(this, s_json));
        File.Move(fresh, path, overwrite: true);
    }

    private static string Id(Assembly assembly) => assembly.ManifestModule.ModuleVersionId.ToString("N")[..12];
}
