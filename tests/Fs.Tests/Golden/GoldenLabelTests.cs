using System.Runtime.CompilerServices;
using Xunit;
using ZfsLite.Kmem;
using ZfsLite.TestKit;

namespace ZfsLite.Fs.Tests;

public sealed unsafe class GoldenLabelTests
{
    [GoldenFact("goldmini")]
    public void Labels_and_uberblock_of_goldmini_are_whole() => CheckLabels("goldmini", 0);

    [GoldenFact("golda12")]
    public void Labels_and_uberblock_of_golda12_are_whole() => CheckLabels("golda12", 0);

    [GoldenFact("goldd")]
    public void Labels_and_uberblock_of_goldd_are_whole() => CheckLabels("goldd", 0);

    [GoldenFact("golda")]
    public void Labels_and_uberblock_of_golda_are_whole() => CheckLabels("golda", 0);

    private static void CheckLabels(string pool, int image)
    {
        using var kmem = new KmemScope(64 << 20);
        MemoryVdevIo io = GoldenPools.LoadAll(pool)[image];
        VdevLabelScan scan = VdevLabel.Scan(io);
        Assert.Equal(15, scan.ValidLabels);
        Assert.NotNull(scan.Config);
        Assert.Null(scan.Config.Unsupported());
        Assert.True(scan.HasUberblock);
        Assert.Equal(scan.Config.GuidSum, scan.Best.GuidSum);
        VdevConfig top = scan.Config.Tops[0];
        Assert.Equal(Vdev.AsizeFor(io.Size), top.Asize);
        Assert.Equal(Vdev.MetaslabShiftFor(top.Asize), (int)top.MetaslabShift);
        var vdev = new Vdev { Id = 0, Guid = top.Guid, Ashift = (int)top.Ashift, Asize = top.Asize, Io = io };
        byte* buffer = ZioBuf.Alloc(ObjsetPhys.SizeOf, KmFlags.Sleep);
        Assert.Equal(0, ZioReader.Read([vdev], scan.Best.RootBp, buffer));
        Assert.Equal(ObjsetPhys.TypeMeta, ((ObjsetPhys*)buffer)->Type);
        ZioBuf.Free(buffer, ObjsetPhys.SizeOf);
    }
}
