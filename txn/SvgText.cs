using System.Text;

namespace ZfsLite.Txn;

/// <summary>
/// How wide a text will be in a picture whose font is not known here: estimated with the widths of a wide sans-serif font, so
/// that what fits by this estimate fits in the fonts that readers have.
/// </summary>
internal static class SvgText
{
    /// <summary>Size of ordinary text, pixels.</summary>
    internal const double FontSize = 13;

    private const double BoldFactor = 1.15;
    private const double Other = 1.0;

    // Widths of the printable ASCII characters in thousandths of the font size, from the space on.
    private static readonly short[] s_widths =
    [
        318, 401, 460, 838, 637, 951, 780, 275, 391, 391, 500, 838, 318, 361, 318, 337,
        637, 637, 637, 637, 637, 637, 637, 637, 637, 637, 337, 337, 838, 838, 838, 531,
        1000, 685, 687, 699, 771, 632, 576, 775, 752, 295, 295, 656, 558, 863, 749, 788,
        604, 788, 695, 635, 611, 732, 685, 989, 686, 611, 686, 391, 337, 391, 838, 500,
        500, 613, 635, 550, 635, 616, 353, 635, 634, 278, 278, 580, 278, 975, 634, 612,
        635, 635, 412, 521, 393, 634, 592, 818, 592, 592, 525, 637, 337, 637, 838,
    ];

    /// <summary>Width in pixels, as an upper bound for common fonts.</summary>
    internal static double Width(string text, bool bold = false, double fontSize = FontSize)
    {
        double sum = 0;
        foreach (char c in text)
        {
            int i = c - ' ';
            sum += (uint)i < (uint)s_widths.Length ? s_widths[i] / 1000.0 : Other;
        }

        return sum * fontSize * (bold ? BoldFactor : 1);
    }

    /// <summary>
    /// Breaks a text into lines of at most <paramref name="width"/> pixels: between words, and inside a word only if it is longer
    /// than a line. What does not fit in so many lines is left out, and an ellipsis says so.
    /// </summary>
    internal static List<string> Wrap(string text, int width, bool bold = false, int linesMax = int.MaxValue)
    {
        var lines = new List<string>();
        var line = new StringBuilder();
        foreach (string word in text.Split(' '))
        {
            string rest = word;
            if (line.Length > 0)
            {
                if (Width($"{line} {word}", bold) <= width)
                {
                    line.Append(' ').Append(word);
                    continue;
                }

                lines.Add(line.ToString());
                line.Clear();
            }

            while (Width(rest, bold) > width)
            {
                int fits = Fits(rest, width, bold);
                lines.Add(rest[..fits]);
                rest = rest[fits..];
            }

            line.Append(rest);
        }

        lines.Add(line.ToString());
        return lines.Count <= linesMax ? lines : [.. lines[..(linesMax - 1)], Shorten(lines[linesMax - 1], width, bold)];
    }

    /// <summary>How many characters from the first on fit; at least one.</summary>
    private static int Fits(string text, int width, bool bold)
    {
        int n = 1;
        while (n < text.Length && Width(text[..(n + 1)], bold) <= width)
        {
            n++;
        }

        return n;
    }

    private static string Shorten(string text, int width, bool bold)
    {
        while (text.Length > 0 && Width(text + "…", bold) > width)
        {
            text = text[..^1];
        }

        return text + "…";
    }
}
