using System.Reflection;

namespace ZfsLite.Tests.Posix;

/// <summary>Error numbers of Linux.</summary>
internal static class E
{
    internal const int PERM = 1, NOENT = 2, NXIO = 6, BADF = 9, AGAIN = 11, ACCES = 13, BUSY = 16, EXIST = 17, XDEV = 18, NODEV = 19, NOTDIR = 20, ISDIR = 21;
    internal const int INVAL = 22, TXTBSY = 26, FBIG = 27, NOSPC = 28, SPIPE = 29, ROFS = 30, MLINK = 31, RANGE = 34, NAMETOOLONG = 36, NOTEMPTY = 39, LOOP = 40;
    internal const int NODATA = 61, OVERFLOW = 75, OPNOTSUPP = 95, STALE = 116, TOOBIG = 7, IO = 5, NOTTY = 25, NOSYS = 38, DQUOT = 122;

    private static readonly Dictionary<int, string> s_names = typeof(E).GetFields(BindingFlags.Static | BindingFlags.NonPublic)
        .Where(static f => f.IsLiteral).ToDictionary(static f => (int)f.GetRawConstantValue()!, static f => f.Name == nameof(TOOBIG) ? "E2BIG" : "E" + f.Name);

    /// <summary>A result in words: a negative one is an error's number.</summary>
    internal static string Name(long result) => result >= 0 ? $"success ({result})" : s_names.GetValueOrDefault((int)-result, $"errno {-result}");
}
