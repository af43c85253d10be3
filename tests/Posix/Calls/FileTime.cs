using System.Globalization;

namespace ZfsLite.Tests.Posix;

/// <summary>A point in time as files have it.</summary>
internal readonly record struct FileTime(long Seconds, uint Nanoseconds) : IComparable<FileTime>
{
    public int CompareTo(FileTime other) => Seconds != other.Seconds ? Seconds.CompareTo(other.Seconds) : Nanoseconds.CompareTo(other.Nanoseconds);

    public static bool operator >(FileTime a, FileTime b) => a.CompareTo(b) > 0;

    public static bool operator <(FileTime a, FileTime b) => a.CompareTo(b) < 0;

    public static bool operator >=(FileTime a, FileTime b) => a.CompareTo(b) >= 0;

    public static bool operator <=(FileTime a, FileTime b) => a.CompareTo(b) <= 0;

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Seconds}.{Nanoseconds:D9}");
}
