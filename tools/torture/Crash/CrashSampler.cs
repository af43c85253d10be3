using ZfsLite.Fs;

namespace ZfsLite.Torture;

/// <summary>
/// Keeps a sample of the disks that crashes left, before their recovery and after it, for zdb -bcc, which knows nothing of the code that wrote them:
/// the first of each kind, and one in so many of all.
/// </summary>
/// <param name="oneIn">One in so many states.</param>
/// <param name="zdb">Runs zdb on the pool in a directory; exit code and output.</param>
internal sealed class CrashSampler(int oneIn, Func<string, (int Code, string Output)> zdb)
{
    /// <summary>What is kept at a time: the images share what they have in common, but not all.</summary>
    private const int KeptMax = 64;

    private readonly List<(string What, CrashKinds Kinds, MemoryVdevIo[] Disks)> _kept = [];
    private int _seen;

    /// <summary>The kinds of which there was at least one.</summary>
    internal CrashKinds Kinds { get; private set; }

    /// <summary>Images that zdb has found clean.</summary>
    internal int Judged { get; private set; }

    /// <summary>Is a state of these kinds to be kept?</summary>
    internal bool Wants(CrashKinds kinds) => (++_seen % oneIn == 0 || (kinds & ~Kinds) != 0) && _kept.Count < KeptMax;

    /// <summary>Keeps the disks as they are now.</summary>
    internal void Keep(string what, CrashKinds kinds, IReadOnlyList<MemoryVdevIo> disks)
    {
        Kinds |= kinds;
        _kept.Add((what, kinds, [.. disks.Select(static d => d.Clone())]));
    }

    /// <summary>Has zdb look at everything kept. Null, or what it did not like.</summary>
    internal string? Judge()
    {
        try
        {
            foreach ((string what, CrashKinds kinds, MemoryVdevIo[] disks) in _kept)
            {
                if (JudgeOne(disks) is { } wrong)
                {
                    return $"{what} ({kinds}): {wrong}";
                }

                Judged++;
            }

            return null;
        }
        finally
        {
            _kept.Clear();
        }
    }

    private string? JudgeOne(MemoryVdevIo[] disks)
    {
        string folder = Directory.CreateTempSubdirectory("zfslite-crash-").FullName;
        try
        {
            for (int i = 0; i < disks.Length; i++)
            {
                using FileStream file = File.Create(Path.Combine(folder, $"{i}.img"));
                disks[i].Save(file);
            }

            (int code, string output) = zdb(folder);
            return code == 0 && output.Contains("No leaks", StringComparison.Ordinal) ? null : $"zdb -bcc: exit code {code}: {output.Trim()}";
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
