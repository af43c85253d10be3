namespace ZfsLite.Fs;

/// <summary>Checksum functions (zio_checksum), as numbered on disk.</summary>
public enum ZioChecksumType : byte
{
#pragma warning disable CS1591
    Inherit = 0, On = 1, Off = 2, Label = 3, GangHeader = 4, Zilog = 5, Fletcher2 = 6, Fletcher4 = 7, Sha256 = 8, Zilog2 = 9,
#pragma warning restore CS1591
}
