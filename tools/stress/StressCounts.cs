using System.Collections.Concurrent;

namespace ZfsLite.Stress;

/// <summary>What was done, counted by name.</summary>
internal sealed class StressCounts
{
    private readonly ConcurrentDictionary<string, long> _counts = new(StringComparer.Ordinal);

    internal void Add(string what, long n = 1) => _counts.AddOrUpdate(what, n, (_, old) => old + n);

    internal IEnumerable<KeyValuePair<string, long>> All => _counts.OrderBy(c => c.Key, StringComparer.Ordinal);
}
