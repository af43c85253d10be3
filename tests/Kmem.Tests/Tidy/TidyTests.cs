using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Xunit;

namespace ZfsLite.Tests.Tidy;

/// <summary>
/// Rules of the tree that no compiler holds. Code of kmem, txn and fs goes through the Spl types (the banned-API analyser sees
/// calls, not keywords); the doors to the world, where the framework's own primitives belong, are left out.
/// </summary>
public partial class TidyTests
{
    private const int LinesMax = 600;

    private static readonly string[] s_layers = ["kmem/", "txn/", "fs/"];
    private static readonly string[] s_doors = ["kmem/Spl/", "fs/Vdev/", "fs/Fuse/Wire/"];

    /// <summary>Files that may lift the ban on a named API, and why.</summary>
    private static readonly Dictionary<string, string> s_mayLift = new(StringComparer.Ordinal)
    {
        ["txn/TxThreadState.cs"] = "keeps the raw cookie of policy txcookie, which is banned everywhere else",
    };

    [Fact]
    public void The_tree_is_found_where_it_is_expected()
    {
        Assert.True(File.Exists(Path.Combine(Root(), "ZfsLite.sln")));
        Assert.True(Layered().Count() > 50);
    }

    [Fact]
    public void No_lock_keyword_async_interlocked_or_volatile_outside_the_doors() => AssertNone(
        Layered().SelectMany(static f => Matches(f, ForbiddenWords())));

    [Fact]
    public void The_banned_api_rule_is_not_switched_off() => AssertNone(
        Layered().Where(static f => !s_mayLift.ContainsKey(f.Name)).SelectMany(static f => Matches(f, BanLifted())));

    [Fact]
    public void No_file_is_longer_than_600_lines() => AssertNone(
        All().Where(static f => f.Text.Count(static c => c == '\n') > LinesMax)
            .Select(static f => $"{f.Name}: {f.Text.Count(static c => c == '\n')} lines"));

    [Fact]
    public void No_file_has_more_than_one_public_top_level_type() => AssertNone(
        All().Select(static f => (f.Name, Types: PublicTypes(f.Code))).Where(static f => f.Types.Count > 1)
            .Select(static f => $"{f.Name}: {string.Join(", ", f.Types)}"));

    [Fact]
    public void The_analyser_and_its_list_reach_the_three_layers()
    {
        foreach (string project in new[] { "kmem/ZfsLite.Kmem.csproj", "txn/ZfsLite.Txn.csproj", "fs/ZfsLite.Fs.csproj" })
        {
            Assert.Contains("<BannedApi>true</BannedApi>", File.ReadAllText(Path.Combine(Root(), project)), StringComparison.Ordinal);
        }

        Assert.Contains("dotnet_diagnostic.RS0030.severity = error", File.ReadAllText(Path.Combine(Root(), ".editorconfig")), StringComparison.Ordinal);
        string banned = File.ReadAllText(Path.Combine(Root(), "BannedSymbols.txt"));
        Assert.Contains("T:System.Diagnostics.Stopwatch", banned, StringComparison.Ordinal);
        Assert.Contains("T:ZfsLite.Kmem.IncrementalMempool", banned, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("lock (x) { }", true)]
    [InlineData("lock(x) { }", true)]
    [InlineData("async void F() { await G(); }", true)]
    [InlineData("Interlocked.Increment(ref x);", true)]
    [InlineData("private volatile int _x;", true)]
    [InlineData("// lock (x), await, volatile", false)]
    [InlineData("/* lock (x)\n Interlocked.Add */", false)]
    [InlineData("string s = \"lock (x) \\\" await\";", false)]
    [InlineData("string s = @\"lock (x) \"\" await\";", false)]
    [InlineData("string s = \"\"\"lock (x) \" await\"\"\";", false)]
    [InlineData("char c = '\"'; lock (x) { }", true)]
    [InlineData("mutex.Lock(); Unlock(x); block (x);", false)]
    public void The_word_rule_sees_code_and_nothing_else(string text, bool found) =>
        Assert.Equal(found, ForbiddenWords().IsMatch(SourceText.CodeOnly(text)));

    [Fact]
    public void The_type_rule_counts_public_types_at_the_top_only()
    {
        const string Source = """
            namespace N;
            public sealed class A { public class Inner { } public enum E { } }
            internal class B { public struct C { } }
            public readonly record struct D(int X);
            public static unsafe partial class F<T> { }
            public delegate void G();
            """;
        Assert.Equal(["A", "D", "F", "G"], PublicTypes(SourceText.CodeOnly(Source)));
    }

    [GeneratedRegex(@"\b(lock\s*\(|async\s+[\w<]|await\s|volatile\s|Interlocked\s*\.)")]
    private static partial Regex ForbiddenWords();

    [GeneratedRegex(@"#pragma\s+warning\s+disable[^\n]*RS0030|#pragma\s+warning\s+disable\s*\n|SuppressMessage\([^)]*RS0030")]
    private static partial Regex BanLifted();

    [GeneratedRegex(@"\bpublic\s+(?:(?:static|sealed|abstract|partial|readonly|ref|unsafe|new)\s+)*(?:record\s+struct|record\s+class|class|struct|interface|enum|record|delegate\s+[\w<>\[\]?*]+)\s+(?<name>\w+)")]
    private static partial Regex PublicType();

    private static List<string> PublicTypes(string code)
    {
        int depth = 0;
        var top = new System.Text.StringBuilder();
        foreach (char c in code)
        {
            depth += c == '{' ? 1 : 0;
            top.Append(depth == 0 ? c : ' ');
            depth -= c == '}' ? 1 : 0;
        }

        return [.. PublicType().Matches(top.ToString()).Select(static m => m.Groups["name"].Value)];
    }

    private static IEnumerable<string> Matches(SourceFile file, Regex rule) => rule.Matches(file.Code)
        .Select(m => $"{file.Name}:{file.Code.AsSpan(0, m.Index).Count('\n') + 1}: {m.Value.Trim()}");

    private static void AssertNone(IEnumerable<string> found)
    {
        string[] all = [.. found];
        Assert.True(all.Length == 0, string.Join("\n", all));
    }

    private static IEnumerable<SourceFile> Layered() => All().Where(static f =>
        s_layers.Any(l => f.Name.StartsWith(l, StringComparison.Ordinal)) && !s_doors.Any(d => f.Name.StartsWith(d, StringComparison.Ordinal)));

    private static IEnumerable<SourceFile> All()
    {
        string root = Root();
        foreach (string top in new[] { "kmem", "txn", "fs", "tools", "tests" })
        {
            foreach (string path in Directory.EnumerateFiles(Path.Combine(root, top), "*.cs", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
            {
                string name = Path.GetRelativePath(root, path);
                if (!name.Contains("/obj/", StringComparison.Ordinal) && !name.Contains("/bin/", StringComparison.Ordinal))
                {
                    string text = File.ReadAllText(path);
                    yield return new SourceFile(name, text, SourceText.CodeOnly(text));
                }
            }
        }
    }

    private static string Root([CallerFilePath] string self = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(self)!, "../../.."));

    private sealed record SourceFile(string Name, string Text, string Code);
}
