using ZfsLite.Fs;

namespace ZfsLite.TestKit;

/// <summary>A fresh pool on a device in memory, opened for writing.</summary>
public static class TestPool
{
    /// <summary>Makes a device with an empty pool.</summary>
    public static MemoryVdevIo Format(long size = 128 << 20, int ashift = 9, string name = "tank", Action<long>? touched = null)
    {
        var io = new MemoryVdevIo(size);
        _ = PoolFormatter.Format([io], new PoolCreateOptions { Name = name, Ashift = ashift, GuidSeed = 7 });
        touched?.Invoke(io.AllocatedBytes);
        return io;
    }

    /// <summary>Opens a pool on one device.</summary>
    public static Spa Open(IVdevIo io, bool readOnly = false) => Spa.Open([io], new SpaOpenOptions { ReadOnly = readOnly, Workers = 2 });
}
