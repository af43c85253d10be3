using System.Globalization;

namespace ZfsLite.Fs;

/// <summary>A dataset property: its name, default, written forms and the number in the props ZAP.</summary>
public sealed class DatasetProperty
{
    private readonly (string Text, ulong Value)[] _forms;

    private DatasetProperty(string name, ulong defaultValue, (string Text, ulong Value)[] forms)
    {
        Name = name;
        Default = defaultValue;
        _forms = forms;
    }

    /// <summary>on or off: reads update the access time.</summary>
    public static DatasetProperty Atime { get; } = new("atime", 1, [("off", 0), ("on", 1)]);

    /// <summary>How many copies of data.</summary>
    public static DatasetProperty Copies { get; } = new("copies", 1, [("1", 1), ("2", 2), ("3", 3)]);

    /// <summary>Compression of data.</summary>
    public static DatasetProperty Compression { get; } = new("compression", 2, [
        ("on", 1), ("off", 2), ("lzjb", 3), ("gzip", 10), ("gzip-1", 5), ("gzip-2", 6), ("gzip-3", 7), ("gzip-4", 8), ("gzip-5", 9),
        ("gzip-6", 10), ("gzip-7", 11), ("gzip-8", 12), ("gzip-9", 13), ("zle", 14)]);

    /// <summary>Checksum of data.</summary>
    public static DatasetProperty Checksum { get; } =
        new("checksum", 1, [("on", 1), ("off", 2), ("fletcher2", 6), ("fletcher4", 7), ("sha256", 8)]);

    /// <summary>Block size of large files.</summary>
    public static DatasetProperty RecordSize { get; } = new("recordsize", 131072, [
        ("512", 512), ("1K", 1 << 10), ("2K", 2 << 10), ("4K", 4 << 10), ("8K", 8 << 10), ("16K", 16 << 10), ("32K", 32 << 10),
        ("64K", 64 << 10), ("128K", 128 << 10)]);

    /// <summary>How changes wait for stable storage: a <see cref="SyncMode"/>.</summary>
    public static DatasetProperty Sync { get; } = new("sync", 0, [("standard", 0), ("always", 1), ("disabled", 2)]);

    /// <summary>Where the data of synchronous writes go: a <see cref="ZfsLite.Fs.LogBias"/>.</summary>
    public static DatasetProperty LogBias { get; } = new("logbias", 0, [("latency", 0), ("throughput", 1)]);

    /// <summary>All of them.</summary>
    public static IReadOnlyList<DatasetProperty> All { get; } = [Atime, Compression, Checksum, RecordSize, Copies, Sync, LogBias];

    /// <summary>Name.</summary>
    public string Name { get; }

    /// <summary>Value where nobody has set one.</summary>
    public ulong Default { get; }

    /// <summary>Finds a property; null if there is none of that name.</summary>
    public static DatasetProperty? Find(string name) => All.FirstOrDefault(p => p.Name == name);

    /// <summary>Is that number one of the property's values?</summary>
    public bool IsValid(ulong value) => Array.Exists(_forms, f => f.Value == value);

    /// <summary>The written form of a number.</summary>
    public string Format(ulong value) =>
        Array.Find(_forms, f => f.Value == value).Text ?? value.ToString(CultureInfo.InvariantCulture);

    /// <summary>The number of a written form, upper or lower case; sizes also in plain bytes. ZfsException (EINVAL) lists what is allowed.</summary>
    public ulong Parse(string text)
    {
        foreach ((string form, ulong value) in _forms)
        {
            if (string.Equals(form, text, StringComparison.OrdinalIgnoreCase))
            {
                return value;
            }
        }

        if (ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) && number > 3 && ReferenceEquals(this, RecordSize)
            && IsValid(number))
        {
            return number;
        }

        throw new ZfsException(Errno.EINVAL, $"property {Name} can't be '{text}': it is one of {string.Join(", ", _forms.Select(static f => f.Text))}");
    }
}
