using System.Text.Json;
using System.Text.Json.Nodes;

namespace ZfsLite.Lab;

/// <summary>A result as JSON.</summary>
internal static class ScenarioJson
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    internal static string Render(ScenarioResult result, int tried, string? svg)
    {
        ScenarioCounters c = result.Counters;
        var json = new JsonObject
        {
            ["scenario"] = "recursive-tx",
            ["policy"] = result.Options.Policy.ToString().ToLowerInvariant(),
            ["seed"] = result.Options.Seed,
            ["schedules"] = tried,
            ["outcome"] = result.Deadlock is not null ? "deadlock" : result.Completed ? "completed" : "failed",
            ["time_ns"] = result.TimeNs,
            ["steps"] = result.Steps,
            ["trace_hash"] = result.TraceHash.ToString("x16", System.Globalization.CultureInfo.InvariantCulture),
            ["writes"] = c.Writes,
            ["reads"] = c.Reads,
            ["txgs"] = c.Txgs,
            ["evicted_clean"] = c.EvictedClean,
            ["tx_in_reclaim"] = c.EvictedInReclaim,
            ["tx_in_reclaim_nested"] = c.Nested,
            ["handed_to_queue"] = c.HandedToQueue,
            ["turned_away"] = c.TurnedAway,
            ["failure"] = result.Failure,
            ["picture"] = svg,
            ["deadlock"] = result.Deadlock is null ? null : JsonNode.Parse(result.Deadlock.ToJson()),
        };
        return json.ToJsonString(s_indented);
    }
}
