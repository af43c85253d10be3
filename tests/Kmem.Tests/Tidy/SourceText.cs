using System.Text;

namespace ZfsLite.Tests.Tidy;

/// <summary>C# source with comments and literals blanked out, so that rules see code alone. Line numbers stay.</summary>
internal static class SourceText
{
    internal static string CodeOnly(string source)
    {
        var code = new StringBuilder(source.Length);
        int i = 0;
        while (i < source.Length)
        {
            int end = EndOfNonCode(source, i);
            if (end == i)
            {
                code.Append(source[i++]);
                continue;
            }

            for (; i < end; i++)
            {
                code.Append(source[i] == '\n' ? '\n' : ' ');
            }
        }

        return code.ToString();
    }

    /// <summary>Where the comment or literal that starts here ends; the same place if none does. Holes of interpolated strings count as text.</summary>
    private static int EndOfNonCode(string s, int i)
    {
        char c = s[i];
        char next = i + 1 < s.Length ? s[i + 1] : '\0';
        if (c == '/' && next == '/')
        {
            return IndexOrEnd(s, "\n", i);
        }

        if (c == '/' && next == '*')
        {
            return Math.Min(s.Length, IndexOrEnd(s, "*/", i + 2) + 2);
        }

        if (c == '\'')
        {
            return EndOfQuoted(s, i, '\'');
        }

        if (c != '"')
        {
            return i;
        }

        int quotes = 0;
        while (i + quotes < s.Length && s[i + quotes] == '"')
        {
            quotes++;
        }

        if (quotes >= 3)
        {
            return Math.Min(s.Length, IndexOrEnd(s, new string('"', quotes), i + quotes) + quotes);
        }

        bool verbatim = i > 0 && (s[i - 1] == '@' || (s[i - 1] == '$' && i > 1 && s[i - 2] == '@'));
        return verbatim ? EndOfVerbatim(s, i) : EndOfQuoted(s, i, '"');
    }

    private static int EndOfQuoted(string s, int i, char quote)
    {
        for (i++; i < s.Length && s[i] != quote && s[i] != '\n'; i++)
        {
            if (s[i] == '\\')
            {
                i++;
            }
        }

        return Math.Min(s.Length, i + 1);
    }

    private static int EndOfVerbatim(string s, int i)
    {
        for (i++; i < s.Length; i++)
        {
            if (s[i] == '"')
            {
                if (i + 1 < s.Length && s[i + 1] == '"')
                {
                    i++;
                    continue;
                }

                return i + 1;
            }
        }

        return s.Length;
    }

    private static int IndexOrEnd(string s, string what, int from)
    {
        int at = s.IndexOf(what, from, StringComparison.Ordinal);
        return at < 0 ? s.Length : at;
    }
}
