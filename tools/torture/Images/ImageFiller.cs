using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>Takes names, so many at a time and so many in all.</summary>
internal sealed class ImageFiller(int most) : IDirFiller
{
    internal List<(byte[] Name, ulong Object, int Type)> Entries { get; } = [];

    internal ulong Cookie { get; private set; }

    /// <summary>How many it takes before it says that it is full.</summary>
    internal int Left { get; set; }

    public bool Add(ReadOnlySpan<byte> name, ulong obj, int type, ulong nextCookie)
    {
        if (Left <= 0 || Entries.Count >= most)
        {
            Left = 0;
            return false;
        }

        Left--;
        Entries.Add((name.ToArray(), obj, type));
        Cookie = nextCookie;
        return true;
    }
}
