using System.Reflection;
using System.Runtime.InteropServices;
using Xunit;
using ZfsLite.Fs;

namespace Fs.Tests;

/// <summary>The protocol's structures have the kernel's sizes and offsets (linux/fuse.h 7.45).</summary>
public class FuseStructTests
{
    [Theory]
    [InlineData(typeof(FuseInHeader), 40, "0 4 8 16 24 28 32 36")]
    [InlineData(typeof(FuseOutHeader), 16, "0 4 8")]
    [InlineData(typeof(FuseInitIn), 64, "0 4 8 12 16")]
    [InlineData(typeof(FuseInitOut), 64, "0 4 8 12 16 18 20 24 28 30 32")]
    [InlineData(typeof(FuseAttr), 88, "0 8 16 24 32 40 48 52 56 60 64 68 72 76 80 84")]
    [InlineData(typeof(FuseEntryOut), 128, "0 8 16 24 32 36 40")]
    [InlineData(typeof(FuseAttrOut), 104, "0 8 16")]
    [InlineData(typeof(FuseBatchForgetIn), 8, "0")]
    [InlineData(typeof(FuseMknodIn), 16, "0 4 8")]
    [InlineData(typeof(FuseMkdirIn), 8, "0 4")]
    [InlineData(typeof(FuseRenameIn), 8, "0")]
    [InlineData(typeof(FuseRename2In), 16, "0 8")]
    [InlineData(typeof(FuseLinkIn), 8, "0")]
    [InlineData(typeof(FuseSetAttrIn), 88, "0 8 16 24 32 40 48 56 60 64 68 76 80")]
    [InlineData(typeof(FuseOpenIn), 8, "0 4")]
    [InlineData(typeof(FuseCreateIn), 16, "0 4 8 12")]
    [InlineData(typeof(FuseOpenOut), 16, "0 8")]
    [InlineData(typeof(FuseReleaseIn), 24, "0 8 12 16")]
    [InlineData(typeof(FuseReadIn), 40, "0 8 16 20 24 32")]
    [InlineData(typeof(FuseWriteIn), 40, "0 8 16 20 24 32")]
    [InlineData(typeof(FuseWriteOut), 8, "0")]
    [InlineData(typeof(FuseStatFsOut), 80, "0 8 16 24 32 40 44 48")]
    [InlineData(typeof(FuseFsyncIn), 16, "0 8")]
    [InlineData(typeof(FuseSetXattrIn), 8, "0 4")]
    [InlineData(typeof(FuseGetXattrIn), 8, "0")]
    [InlineData(typeof(FuseGetXattrOut), 8, "0")]
    [InlineData(typeof(FuseInterruptIn), 8, "0")]
    [InlineData(typeof(FuseFallocateIn), 32, "0 8 16 24")]
    [InlineData(typeof(FuseLseekIn), 24, "0 8 16")]
    [InlineData(typeof(FuseLseekOut), 8, "0")]
    [InlineData(typeof(FuseForgetOne), 16, "0 8")]
    [InlineData(typeof(FuseIoctlIn), 32, "0 8 12 16 24 28")]
    [InlineData(typeof(FuseIoctlOut), 16, "0 4 8 12")]
    [InlineData(typeof(FuseStatxIn), 24, "0 8 16 20")]
    [InlineData(typeof(FuseStatxTime), 16, "0 8")]
    [InlineData(typeof(FuseStatxOut), 288, "0 8 12 32 36 40 48 52 56 60 64 72 80 88 96 112 128 144 160 164")]
    [InlineData(typeof(FuseCopyFileRangeIn), 56, "0 8 16 24 32 40 48")]
    [InlineData(typeof(FuseDirent), 24, "0 8 16 20")]
    [InlineData(typeof(Iovec), 16, "0 8")]
    public void Size_and_offsets_are_the_kernels(Type type, int size, string offsets)
    {
        Assert.Equal(size, Marshal.SizeOf(type));
        FieldInfo[] fields = type.GetFields(BindingFlags.Instance | BindingFlags.Public);
        Assert.Equal(offsets, string.Join(' ', fields.Select(f => Marshal.OffsetOf(type, f.Name)).Order()));
    }
}
