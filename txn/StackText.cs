using System.Text;

namespace ZfsLite.Txn;

/// <summary>Makes a recorded managed stack readable: no frames of the recorder itself, file names without their folders.</summary>
internal static class StackText
{
    internal static string? Clean(string? stack)
    {
        if (stack is null)
        {
            return null;
        }

        var text = new StringBuilder(stack.Length);
        bool body = false;
        foreach (string raw in stack.Split('\n'))
        {
            string line = raw.Trim();
            if (!body && (line.Contains("get_StackTrace", StringComparison.Ordinal) || line.Contains("RecordWaitStack", StringComparison.Ordinal)))
            {
                continue;
            }

            body = true;
            if (line.Length == 0 || line.Contains("System.Threading.", StringComparison.Ordinal))
            {
                continue;
            }

            text.Append(text.Length == 0 ? string.Empty : "\n").Append(ShortenFile(line));
        }

        return text.ToString();
    }

    private static string ShortenFile(string line)
    {
        int at = line.LastIndexOf(" in ", StringComparison.Ordinal);
        int slash = line.LastIndexOf('/');
        return at > 0 && slash > at ? string.Concat(line.AsSpan(0, at), " (", line.AsSpan(slash + 1), ")") : line;
    }
}
