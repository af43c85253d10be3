using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>Answers <c>kmem get</c> and <c>kmem set</c>.</summary>
internal static class KmemTuning
{
    internal static List<KmemTunableRow> Get(string cache, IReadOnlyList<string> names)
    {
        try
        {
            IEnumerable<KmemTunable> all = KmemTunables.List(cache);
            if (names.Count > 0)
            {
                all = [.. names.Select(n => all.FirstOrDefault(t => t.Name == n) ?? new KmemTunable(n, KmemTunables.Get(cache, n), false))];
            }

            return [.. all.Select(t => new KmemTunableRow { Cache = cache, Attribute = t.Name, Value = t.Value, Writable = t.Writable })];
        }
        catch (KmemTunableException e)
        {
            throw Failed(e);
        }
    }

    internal static void Set(string cache, IReadOnlyDictionary<string, string> values)
    {
        foreach ((string name, string value) in values)
        {
            try
            {
                KmemTunables.Set(cache, name, value);
            }
            catch (KmemTunableException e)
            {
                throw Failed(e);
            }
        }
    }

    private static CliException Failed(KmemTunableException e) => new(
        e.Message,
        e.Errno == KmemTunableException.Enoent ? "see what there is: zfslite kmem POOL, zfslite kmem get CACHE" : null,
        e.Errno == KmemTunableException.Enoent ? ExitCode.Failed : ExitCode.Usage);
}
