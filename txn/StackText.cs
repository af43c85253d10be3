using System.Text;

namespace ZfsLite.Txn;

/// <summary>Makes a recorded managed stack readable: no frames of the Spl machinery, file names without their folders.</summary>
internal static class StackText
{
    internal static string? Clean(string? stack)
    {
        if (stack is null)
        {
            return null;
        }

        var text = new StringBuilder(stack.Length);
        foreach (string raw in stack.Split('\n'))
        {
            string line = raw.Trim();
            if (line.Length == 0 || IsMachinery(line))
            {
                continue;
            }

            text.Append(text.Length == 0 ? string.Empty : "\n").Append(ShortenFile(line));
        }

        return text.ToString();
    }

    /// <summary>The calls of a cleaned stack, outermost first, as Type.Method; one per type and run of frames, at most so many.</summary>
    internal static List<string> CallPath(string? stack, int max)
    {
        var path = new List<string>();
        string last = string.Empty;
        foreach (string line in (stack ?? string.Empty).Split('\n').Reverse())
        {
            int end = line.IndexOf('(', StringComparison.Ordinal);
            string[] parts = end < 0 ? [] : line[..end].Split('.', '+');
            if (parts.Length < 2 || line.Contains("<>", StringComparison.Ordinal) || parts[^2] == last)
            {
                continue;
            }

            last = parts[^2];
            path.Add($"{last}.{parts[^1]}");
        }

        return path.Count <= max ? path : [.. path[..(max / 2)], "…", .. path[^(max - (max / 2) - 1)..]];
    }

    /// <summary>How a thread blocks and starts says nothing about this one.</summary>
    private static bool IsMachinery(string line) =>
        line.Contains("get_StackTrace", StringComparison.Ordinal)
        || line.StartsWith("at ZfsLite.Kmem.Spl.", StringComparison.Ordinal)
        || line.StartsWith("at System.Threading.", StringComparison.Ordinal);

    private static string ShortenFile(string line)
    {
        int at = line.LastIndexOf(" in ", StringComparison.Ordinal);
        int slash = line.LastIndexOf('/');
        return at > 0 && slash > at ? string.Concat(line.AsSpan(0, at), " (", line.AsSpan(slash + 1), ")") : line;
    }
}
