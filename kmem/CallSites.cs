using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Kmem;

/// <summary>
/// Places in the program that allocate or free: the innermost frame outside this assembly, by number. Walking the stack takes some ten
/// microseconds, so that it is done for watched caches alone. At most <see cref="MaxSites"/>; what comes after them has the number 0. Its
/// lock is a leaf.
/// </summary>
internal sealed class CallSites
{
    internal const int MaxSites = 1 << 16;

    private static readonly Assembly s_own = typeof(CallSites).Assembly;
    private readonly Kmutex _lock = new("kmem_callsites");
    private readonly Dictionary<(nint Method, int Offset), int> _numbers = [];
    private readonly List<string> _names = ["an unknown place"];

    /// <summary>The number of the place that has called into kmem.</summary>
    internal int Capture()
    {
        var stack = new StackTrace(1, false);
        int at = Outermost(stack, out MethodBase? method);
        if (method is null)
        {
            return 0;
        }

        (nint, int) key = (method.MethodHandle.Value, stack.GetFrame(at)!.GetILOffset());
        _lock.Enter();
        bool known = _numbers.TryGetValue(key, out int number);
        bool full = _names.Count > MaxSites;
        _lock.Exit();
        return known || full ? number : Add(key, Describe(new StackTrace(1, true)));
    }

    /// <summary>The name of a place: type, method, and file and line if they are known.</summary>
    internal string NameOf(int site)
    {
        _lock.Enter();
        string name = _names[site];
        _lock.Exit();
        return name;
    }

    private static string Describe(StackTrace stack)
    {
        StackFrame frame = stack.GetFrame(Outermost(stack, out MethodBase? method))!;
        string place = frame.GetFileName() is { } file
            ? string.Create(CultureInfo.InvariantCulture, $" ({Path.GetFileName(file)}:{frame.GetFileLineNumber()})")
            : string.Create(CultureInfo.InvariantCulture, $"+0x{frame.GetILOffset():x}");
        return $"{method?.DeclaringType?.Name}.{method?.Name}{place}";
    }

    private int Add((nint Method, int Offset) key, string name)
    {
        _lock.Enter();
        if (!_numbers.TryGetValue(key, out int number))
        {
            number = _names.Count;
            _names.Add(name);
            _numbers.Add(key, number);
        }

        _lock.Exit();
        return number;
    }

    /// <summary>Index of the innermost frame that is not of this assembly, or else of the outermost frame that is.</summary>
    private static int Outermost(StackTrace stack, out MethodBase? method)
    {
        int at = 0;
        method = null;
        for (int i = 0; i < stack.FrameCount; i++)
        {
            if (stack.GetFrame(i)!.GetMethod() is not { } m)
            {
                continue;
            }

            (at, method) = (i, m);
            if (m.DeclaringType?.Assembly != s_own)
            {
                break;
            }
        }

        return at;
    }
}
