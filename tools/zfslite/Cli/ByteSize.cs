using System.Globalization;

namespace ZfsLite.Cli;

/// <summary>Sizes as people type and read them: 512, 64K, 256M, 1G, 1T (binary units; "KiB" and "KB" mean the same here).</summary>
public static class ByteSize
{
    private const string Units = "KMGTP";

    /// <summary>Parses a size in bytes. False for anything that is not a positive size below 2^63.</summary>
    public static bool TryParse(string? text, out long bytes)
    {
        bytes = 0;
        if (string.IsNullOrWhiteSpace(text))
        {
            return false;
        }

        int digits = 0;
        while (digits < text.Length && (char.IsAsciiDigit(text[digits]) || text[digits] == '.'))
        {
            digits++;
        }

        if (!decimal.TryParse(text.AsSpan(0, digits), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal number))
        {
            return false;
        }

        string unit = text[digits..].Trim().ToUpperInvariant();
        int shift = 0;
        if (unit.Length > 0 && unit != "B")
        {
            int index = Units.IndexOf(unit[0], StringComparison.Ordinal);
            if (index < 0 || !(unit.Length == 1 || unit[1..] is "B" or "IB"))
            {
                return false;
            }

            shift = 10 * (index + 1);
        }

        decimal value = number * (1L << shift);
        if (value < 1 || value > long.MaxValue)
        {
            return false;
        }

        bytes = (long)value;
        return true;
    }

    /// <summary>A size for people, at most one decimal: 512, 64K, 1.5G.</summary>
    public static string Format(long bytes)
    {
        if (bytes < 0)
        {
            return "-" + Format(bytes == long.MinValue ? long.MaxValue : -bytes);
        }

        if (bytes < 1024)
        {
            return bytes.ToString(CultureInfo.InvariantCulture);
        }

        double value = bytes;
        int unit = -1;
        while (value >= 1023.95 && unit < Units.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        return value.ToString(value >= 99.95 || value == Math.Floor(value) ? "F0" : "F1", CultureInfo.InvariantCulture) + Units[unit];
    }
}
