using System.Text.Json;

namespace ZfsLite.Cli;

/// <summary>A daemon's answer: one JSON object on one line.</summary>
public sealed class ControlResponse
{
    /// <summary>True if it was done.</summary>
    public bool Ok { get; set; }

    /// <summary>Otherwise, one line that says why not.</summary>
    public string? Error { get; set; }

    /// <summary>Exit code that the command shall return.</summary>
    public int Exit { get; set; }

    /// <summary>The result; its form depends on the command.</summary>
    public JsonElement? Data { get; set; }
}
