using System.Text;

namespace ZfsLite.Fs;

/// <summary>The mount table of this process's namespace. Reading it never asks a file system anything.</summary>
internal static class FuseMountTable
{
    /// <summary>The topmost mount on a directory: type and device minor; null if none.</summary>
    internal static (string Type, int Minor)? Find(string mountPoint)
    {
        (string, int)? found = null;
        foreach (string line in File.ReadLines("/proc/self/mountinfo"))
        {
            string[] fields = line.Split(' ');
            int dash = Array.IndexOf(fields, "-");
            if (dash < 6 || dash + 1 >= fields.Length || Unescape(fields[4]) != mountPoint)
            {
                continue;
            }

            string[] device = fields[2].Split(':');
            if (device.Length == 2 && int.TryParse(device[1], out int minor))
            {
                found = (fields[dash + 1], minor);
            }
        }

        return found;
    }

    /// <summary>Turns the octal escapes of the table (blank, tab, newline, backslash) back.</summary>
    internal static string Unescape(string field)
    {
        if (!field.Contains('\\', StringComparison.Ordinal))
        {
            return field;
        }

        byte[] bytes = Encoding.UTF8.GetBytes(field);
        int to = 0;
        for (int i = 0; i < bytes.Length; i++)
        {
            if (bytes[i] == '\\' && i + 3 < bytes.Length)
            {
                bytes[to++] = (byte)(((bytes[i + 1] - '0') << 6) | ((bytes[i + 2] - '0') << 3) | (bytes[i + 3] - '0'));
                i += 3;
            }
            else
            {
                bytes[to++] = bytes[i];
            }
        }

        return Encoding.UTF8.GetString(bytes, 0, to);
    }
}
