namespace ZfsLite.Fs;

/// <summary>State of a pool in its labels (pool_state_t).</summary>
public enum PoolState
{
#pragma warning disable CS1591 // Names of the format.
    Active = 0, Exported = 1, Destroyed = 2, Spare = 3, L2Cache = 4,
#pragma warning restore CS1591
}
