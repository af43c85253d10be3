using System.Text;
using Xunit;
using ZfsLite.Fs;
using ZfsLite.TestKit;
using static Fs.Tests.FuseClient;

namespace Fs.Tests;

/// <summary>The control directory in front of a file system, driven by messages.</summary>
[Collection("Fuse")]
public sealed class ControlDirectoryTests
{
    private const int Seeds = 3;
    private const ulong Zfs = ControlDirectory.FirstObject;
    private const ulong Kstat = Zfs + 1;
    private const ulong Slab = Zfs + 3;

    [Fact]
    public void It_is_found_by_name_and_not_by_readdir() => With((client, _) =>
    {
        Assert.Equal(Zfs, Node(client.Call(FuseOpcode.Lookup, 1, Z(".zfs"))));
        Assert.Equal(Kstat, Node(client.Call(FuseOpcode.Lookup, Zfs, Z("kstat"))));
        Assert.Equal(1UL, Node(client.Call(FuseOpcode.Lookup, Zfs, Z(".."))));
        Assert.Equal(InoOf(client.Call(FuseOpcode.GetAttr, 1, new byte[16])), InoOfDotDot(client, Zfs));
        Assert.Equal(Zfs, Node(client.Call(FuseOpcode.Lookup, Kstat, Z(".."))));
        Assert.Equal(0UL, Node(client.Call(FuseOpcode.Lookup, Kstat, Z("nothing"))));
        Assert.DoesNotContain("zfs", Names(client, 1), StringComparison.Ordinal);
        Assert.Contains("kstat", Names(client, Zfs), StringComparison.Ordinal);
        Assert.Contains("kmem", Names(client, Kstat), StringComparison.Ordinal);
    });

    [Fact]
    public void Each_handle_keeps_the_text_of_its_open_however_it_is_read() => With((client, text) =>
    {
        text[0] = "one";
        ulong first = Open(client);
        text[0] = "another";
        ulong second = Open(client);
        Assert.NotEqual(first, second);
        Assert.Equal("one"u8, client.Call(FuseOpcode.Read, Slab, ReadBody(0, 100, first)).Body);
        Assert.Equal("another"u8, client.Call(FuseOpcode.Read, Slab, ReadBody(0, 100, second)).Body);
        Assert.Equal("e"u8, client.Call(FuseOpcode.Read, Slab, ReadBody(2, 100, first)).Body);
        Assert.Equal("no"u8, client.Call(FuseOpcode.Read, Slab, ReadBody(1, 2, second)).Body);
        Assert.Empty(client.Call(FuseOpcode.Read, Slab, ReadBody(3, 100, first)).Body);
        Assert.Empty(client.Call(FuseOpcode.Read, Slab, ReadBody(long.MaxValue, 100, first)).Body);
        Assert.Equal(0, Close(client, first));
        Assert.Equal(Errno.EBADF, client.Call(FuseOpcode.Read, Slab, ReadBody(0, 100, first)).Error);
        Assert.Equal("another"u8, client.Call(FuseOpcode.Read, Slab, ReadBody(0, 100, second)).Body);
        Assert.Equal(0, Close(client, second));
    });

    [Fact]
    public void Open_files_are_limited_and_handles_that_nobody_gave_out_are_refused() => With((client, _) =>
    {
        var handles = new HashSet<ulong>();
        for (int i = 0; i < ControlDirectory.OpenFilesMax; i++)
        {
            Assert.True(handles.Add(Open(client)));
        }

        Assert.Equal(Errno.ENFILE, client.Call(FuseOpcode.Open, Slab, U32(0, 0)).Error);
        Assert.Equal(0, Close(client, handles.First()));
        Assert.Equal(handles.First(), Open(client));
        Assert.All(handles, h => Assert.Equal(0, Close(client, h)));
        foreach (ulong none in new ulong[] { 1, ControlDirectory.OpenFilesMax, ControlDirectory.OpenFilesMax + 1, ulong.MaxValue })
        {
            Assert.Equal(Errno.EBADF, client.Call(FuseOpcode.Read, Slab, ReadBody(0, 10, none)).Error);
            Assert.Equal(0, Close(client, none));
        }
    });

    [Fact]
    public void The_files_behind_it_are_read_and_written_as_ever() => With((client, _) =>
    {
        ulong file = client.CreateFile("plain");
        Assert.Equal(0, client.Call(FuseOpcode.Write, file, WriteBody(0, [.. "plain"u8])).Error);
        Assert.Equal("plain"u8, client.Call(FuseOpcode.Read, file, ReadBody(0, 100)).Body);
        Assert.Contains("plain", Names(client, 1), StringComparison.Ordinal);
        Assert.Equal(0, Close(client, 0, file));
    });

    [Fact]
    public void Nothing_in_it_can_be_changed_and_its_name_not_be_taken() => With((client, _) =>
    {
        byte[] mkdir = [.. U32(0x1ED, 0), .. Z("x")];
        Assert.Equal(Errno.EROFS, client.Call(FuseOpcode.Mkdir, Zfs, mkdir).Error);
        Assert.Equal(Errno.EEXIST, client.Call(FuseOpcode.Mkdir, 1, [.. U32(0x1ED, 0), .. Z(".zfs")]).Error);
        Assert.Equal(Errno.EROFS, client.Call(FuseOpcode.Rmdir, 1, Z(".zfs")).Error);
        Assert.Equal(Errno.EROFS, client.Call(FuseOpcode.Unlink, Kstat, Z("kmem")).Error);
        Assert.Equal(Errno.EROFS, client.Call(FuseOpcode.Open, Slab, U32(1, 0)).Error);
        Assert.Equal(Errno.EROFS, client.Call(FuseOpcode.Open, Slab, U32(0x200, 0)).Error);
        Assert.Equal(Errno.EROFS, client.Call(FuseOpcode.Write, Slab, WriteBody(0, [1])).Error);
        Assert.Equal(Errno.EISDIR, client.Call(FuseOpcode.Read, Kstat, ReadBody(0, 10)).Error);
        Assert.Equal(Errno.ENOENT, client.Call(FuseOpcode.GetAttr, Zfs + 77, new byte[16]).Error);
    });

    private static void With(Action<FuseClient, string[]> test) => Backends.Run(() =>
    {
        string[] text = ["-"];
        var control = new ControlDirectory(new MemFs());
        control.AddFile("kstat/kmem/slab", () => Encoding.UTF8.GetBytes(text[0]));
        using var client = new FuseClient(control);
        test(client, text);
    }, Seeds);

    private static ulong Open(FuseClient client)
    {
        (int error, byte[] open) = client.Call(FuseOpcode.Open, Slab, U32(0, 0));
        Assert.Equal((0, 1U), (error, BitConverter.ToUInt32(open, 8)));
        return BitConverter.ToUInt64(open);
    }

    private static int Close(FuseClient client, ulong handle, ulong node = Slab) =>
        client.Call(FuseOpcode.Release, node, [.. U64(handle), .. U32(0, 0), .. U64(0)]).Error;

    private static ulong InoOf((int Error, byte[] Body) attributes) => BitConverter.ToUInt64(attributes.Body, 16);

    /// <summary>The number of "..", the second entry.</summary>
    private static ulong InoOfDotDot(FuseClient client, ulong dir) =>
        BitConverter.ToUInt64(client.Call(FuseOpcode.ReadDir, dir, ReadBody(0, 4096)).Body, 32);

    private static ulong Node((int Error, byte[] Body) entry)
    {
        Assert.Equal(0, entry.Error);
        return BitConverter.ToUInt64(entry.Body, 0);
    }

    private static string Names(FuseClient client, ulong dir)
    {
        (int error, byte[] body) = client.Call(FuseOpcode.ReadDir, dir, ReadBody(0, 4096));
        Assert.Equal(0, error);
        return Encoding.UTF8.GetString(body);
    }
}
