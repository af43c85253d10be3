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
