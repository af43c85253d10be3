using System.Reflection;
using System.Text.Json;

namespace ZfsLite.Torture;

/// <summary>How far a run of kills has come: a small file, replaced at one stroke. Each pool is begun afresh, so the counts are all there is to keep.</summary>
internal sealed record KillState
{
    private static readonly JsonSerializerOptions s_json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    public string Torture { get; init; } = "kill";

    public required ulong Seed { get; init; }

    /// <summary>Kills asked for in all; null: no end.</summary>
    public required long? Kills { get; init; }

    /// <summary>Commit of the tool.</summary>
    public string Build { get; init; } = CurrentBuild();

    /// <summary>Time spent, over all parts of the run.</summary>
    public double Seconds { get; set; }

    public string? Failure { get; set; }

    public SortedDictionary<string, long> Counts { get; init; } = new(StringComparer.Ordinal);

    internal long Done => Counts.GetValueOrDefault(KillRun.KillsName);

    internal static string CurrentBuild() =>
        typeof(KillState).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "?";

    /// <summary>Reads a file; null: there is none. InvalidDataException: it is no state.</summary>
    internal static KillState? Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<KillState>(File.ReadAllText(path), s_json) is { Torture: "kill" } state ? state : throw new InvalidDataException($"{path} is no state of torture kill");
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{path} is no state of torture kill: {e.Message}");
        }
    }

    internal void Write(string path)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        string fresh = path + ".new";
        File.WriteAllText(fresh, JsonSerializer.Serialize(this, s_json));
        File.Move(fresh, path, overwrite: true);
    }
}
