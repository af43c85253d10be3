using System.Text;

namespace ZfsLite.Fs;

/// <summary>An entry of a ZAP.</summary>
/// <param name="Name">The name, without its NUL.</param>
/// <param name="Width">Bytes of one value.</param>
/// <param name="Values">The values.</param>
/// <param name="Hash">Hash of the name: computed in a micro ZAP, as stored in a fat one.</param>
public sealed record OfflineZapEntry(byte[] Name, int Width, ulong[] Values, ulong Hash)
{
    /// <summary>The name as text; bytes that are no UTF-8 are replaced.</summary>
    public string NameText => Encoding.UTF8.GetString(Name);

    /// <summary>The first value; 0 if there is none.</summary>
    public ulong First => Values.Length > 0 ? Values[0] : 0;

    /// <summary>Values of one byte as text, without the NUL.</summary>
    public string Text => Encoding.UTF8.GetString([.. Values.TakeWhile(v => v != 0).Select(v => (byte)v)]);
}
