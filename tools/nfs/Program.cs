using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using ZfsLite.NfsHold;

// A client that keeps the handles it once got, as every kernel's does, while the server and the file system below it come and go.
// One command on a line, one answer on a line: "ok", perhaps with a value, or "error ERRNO text".
//   dir D URL       mounts: D stands for the handle of that directory
//   file F D PATH   looks a path up from D: F stands for the handle of that file
//   sum F           reads the file by its handle; the sha256 of its content
//   stat F          asks for its attributes, by its handle; its file number
//   put F TEXT      writes TEXT at its beginning, by its handle
//   open4 F PORT PATH  opens a file over v4 with a client of our own, which can do what libnfs can't; sum4, stat4, put4: as above
//   reclaim4 F      takes the open of such a file up again after a restart of the server
//   fill F PATH     writes the content of a local file, in pieces that libnfs 4.0 can send over v4 (larger ones it can't encode)
const int timeoutMs = 20_000;
const int readWrite = 2;
var dirs = new Dictionary<string, nint>(StringComparer.Ordinal);
var files4 = new Dictionary<string, Nfs4File>(StringComparer.Ordinal);
var files = new Dictionary<string, (nint Nfs, nint File)>(StringComparer.Ordinal);

while (Console.In.ReadLine() is { } line)
{
    string[] words = line.Split(' ', 4);
    Console.Out.WriteLine((words[0], words.Length) switch
    {
        ("dir", 3) => Dir(words[1], words[2]),
        ("file", 4) => OpenFile(words[1], words[2], words[3]),
        ("sum", 2) => Sum(words[1]),
        ("stat", 2) => Stat(words[1]),
        ("open4", 4) => Four(() => Done(() => files4[words[1]] = new Nfs4File(int.Parse(words[2], CultureInfo.InvariantCulture), words[3]))),
        ("sum4", 2) => Four(() => Convert.ToHexStringLower(files4[words[1]].Sum())),
        ("stat4", 2) => Four(() => files4[words[1]].Number()),
        ("put4", 3) => Four(() => Done(() => files4[words[1]].Put(Encoding.UTF8.GetBytes(words[2])))),
        ("reclaim4", 2) => Four(() => Done(files4[words[1]].Reclaim)),
        ("put", 3) => Write(words[1], Encoding.UTF8.GetBytes(words[2])),
        ("fill", 3) => Write(words[1], File.ReadAllBytes(words[2])),
        _ => "error 22 no such command",
    });
    Console.Out.Flush();
}

return;

unsafe string Dir(string name, string text)
{
    nint nfs = LibNfs.InitContext();
    LibNfs.SetTimeout(nfs, timeoutMs);
    LibNfs.Url* url = LibNfs.ParseUrlDir(nfs, text);
    LibNfs.SetAutoReconnect(nfs, -1);
    dirs[name] = nfs;
    return url is null ? "error 22 no such URL" : Answer(nfs, LibNfs.Mount(nfs, url->Server, url->Path));
}

string OpenFile(string name, string dir, string path)
{
    nint nfs = dirs[dir];
    int rc = LibNfs.Open(nfs, path, readWrite, out nint file);
    if (rc == 0)
    {
        files[name] = (nfs, file);
    }

    return Answer(nfs, rc);
}

unsafe string Sum(string name)
{
    const int piece = 128 << 10;
    (nint nfs, nint file) = files[name];
    using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    byte[] buffer = new byte[piece];
    for (ulong at = 0; ;)
    {
        int n;
        fixed (byte* p = buffer)
        {
            n = LibNfs.Read(nfs, file, at, piece, p);
        }

        if (n < 0)
        {
            return Answer(nfs, n);
        }

        if (n == 0)
        {
            return $"ok {Convert.ToHexStringLower(hash.GetHashAndReset())}";
        }

        hash.AppendData(buffer, 0, n);
        at += (ulong)n;
    }
}

unsafe string Write(string name, byte[] bytes)
{
    const int piece = 2 << 10;
    (nint nfs, nint file) = files[name];
    int n = 0;
    for (int at = 0; at < bytes.Length && n >= 0; at += n)
    {
        fixed (byte* p = &bytes[at])
        {
            n = LibNfs.Write(nfs, file, (ulong)at, (ulong)Math.Min(piece, bytes.Length - at), p);
        }

        if (n == 0)
        {
            return "error 5 nothing was written";
        }
    }

    return Answer(nfs, n);
}

unsafe string Stat(string name)
{
    const int numbers = 18, fileNumber = 1;
    (nint nfs, nint file) = files[name];
    ulong* attributes = stackalloc ulong[numbers];
    int rc = LibNfs.Stat(nfs, file, attributes);
    return rc < 0 ? Answer(nfs, rc) : $"ok {attributes[fileNumber]}";
}

static object? Done(Action action)
{
    action();
    return null;
}

static string Four(Func<object?> action)
{
    const int eio = 5;
    try
    {
        return $"ok {action()}".TrimEnd();
    }
    catch (Nfs4Exception e)
    {
        return $"error {e.Status} {e.Message}";
    }
    catch (Exception e) when (e is IOException or SocketException)
    {
        return $"error {eio} {e.Message}";
    }
}

// Of a READ that the server refused, libnfs 4.0 says EFAULT, and takes the number that the server gave for the beginning of a text.
static string Answer(nint nfs, int rc)
{
    const int efault = 14, estale = 116;
    const char staleByProtocol = (char)70;
    string text = rc >= 0 ? "" : Marshal.PtrToStringUTF8(LibNfs.Error(nfs))?.ReplaceLineEndings(" ") ?? "";
    return rc >= 0 ? "ok"
        : rc == -efault && text.EndsWith($"\"{staleByProtocol}\"", StringComparison.Ordinal) ? $"error {estale} READ refused with NFS3ERR_STALE"
        : $"error {-rc} {text}";
}
