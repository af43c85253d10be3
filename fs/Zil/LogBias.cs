namespace ZfsLite.Fs;

/// <summary>The dataset property logbias.</summary>
public enum LogBias
{
    /// <summary>Small writes are copied into the log, large ones too where there is a log device.</summary>
    Latency = 0,

    /// <summary>All data go to their places at once, the log gets pointers.</summary>
    Throughput = 1,
}
