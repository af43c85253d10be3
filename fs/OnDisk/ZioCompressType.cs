namespace ZfsLite.Fs;

/// <summary>Compression functions (zio_compress), as numbered on disk. Gzip levels 1 to 9 are 5 to 13.</summary>
public enum ZioCompressType : byte
{
#pragma warning disable CS1591
    Inherit = 0, On = 1, Off = 2, Lzjb = 3, Empty = 4, Gzip1 = 5, Gzip2 = 6, Gzip3 = 7, Gzip4 = 8, Gzip5 = 9, Gzip6 = 10, Gzip7 = 11,
    Gzip8 = 12, Gzip9 = 13, Zle = 14,
#pragma warning restore CS1591
}
