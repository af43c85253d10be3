namespace ZfsLite.Fs;

/// <summary>What a check found.</summary>
public sealed class CheckResult
{
    private readonly List<CheckFinding> _findings = [];
    private readonly int _max;

    internal CheckResult(int max) => _max = max;

    /// <summary>The findings, in the order in which they were made; see <see cref="Dropped"/>.</summary>
    public IReadOnlyList<CheckFinding> Findings => _findings;

    /// <summary>Number of errors.</summary>
    public long Errors { get; private set; }

    /// <summary>Number of warnings.</summary>
    public long Warnings { get; private set; }

    /// <summary>Findings that were counted but not kept.</summary>
    public long Dropped { get; private set; }

    /// <summary>Blocks that the pool refers to, each once.</summary>
    public long Blocks { get; internal set; }

    /// <summary>Bytes of all their copies.</summary>
    public ulong ReferencedBytes { get; internal set; }

    /// <summary>Bytes allocated in the space maps.</summary>
    public ulong AllocatedBytes { get; internal set; }

    /// <summary>Datasets looked at, snapshots included.</summary>
    public int Datasets { get; internal set; }

    /// <summary>Files, directories and others looked at.</summary>
    public long Files { get; internal set; }

    internal void Add(CheckFinding f)
    {
        Errors += f.Severity == CheckSeverity.Error ? 1 : 0;
        Warnings += f.Severity == CheckSeverity.Warning ? 1 : 0;
        if (_findings.Count < _max)
        {
            _findings.Add(f);
        }
        else
        {
            Dropped++;
        }
    }
}
