namespace ZfsLite.Fs;

/// <summary>What reading a block found out about its copies; bit n stands for copy n.</summary>
public struct ZioReadReport
{
    /// <summary>Copies that could not be read.</summary>
    public byte IoErrors;

    /// <summary>Copies whose bytes are not what the checksum says.</summary>
    public byte ChecksumErrors;

    /// <summary>The copy that was good; -1: none.</summary>
    public sbyte GoodCopy;

    /// <summary>Copies that should be written anew from the good one.</summary>
    public readonly int BadCopies => IoErrors | ChecksumErrors;
}
