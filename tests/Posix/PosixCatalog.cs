using System.Reflection;

namespace ZfsLite.Tests.Posix;

/// <summary>All cases of this assembly, by subject and in the order of the source.</summary>
public static class PosixCatalog
{
    /// <summary>The cases.</summary>
    public static IReadOnlyList<PosixCase> All { get; } = [.. typeof(PosixCatalog).Assembly.GetTypes()
        .Where(static t => t.IsSubclassOf(typeof(PosixCases)) && !t.IsAbstract)
        .OrderBy(static t => t.Name, StringComparer.Ordinal)
        .SelectMany(static t => t.GetMethods())
        .Select(static m => (Method: m, Declaration: m.GetCustomAttribute<PosixCaseAttribute>()))
        .Where(static p => p.Declaration is not null)
        .Select(static p => new PosixCase(p.Method, p.Declaration!))];

    /// <summary>The case of a name.</summary>
    public static PosixCase Find(string name) =>
        All.FirstOrDefault(c => c.Name == name) ?? throw new ArgumentException($"there is no case '{name}'", nameof(name));
}
