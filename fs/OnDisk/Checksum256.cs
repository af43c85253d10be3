using System.Runtime.InteropServices;

namespace ZfsLite.Fs;

/// <summary>A 256-bit checksum (zio_cksum_t).</summary>
[StructLayout(LayoutKind.Sequential, Size = 32)]
public struct Checksum256 : IEquatable<Checksum256>
{
    /// <summary>The four words.</summary>
    public ulong W0, W1, W2, W3;

    /// <summary>Makes one.</summary>
    public Checksum256(ulong w0, ulong w1, ulong w2, ulong w3) => (W0, W1, W2, W3) = (w0, w1, w2, w3);

    /// <inheritdoc/>
    public readonly bool Equals(Checksum256 other) => W0 == other.W0 && W1 == other.W1 && W2 == other.W2 && W3 == other.W3;

    /// <inheritdoc/>
    public override readonly bool Equals(object? obj) => obj is Checksum256 c && Equals(c);

    /// <inheritdoc/>
    public override readonly int GetHashCode() => (int)(W0 ^ W1 ^ W2 ^ W3);

    /// <inheritdoc/>
    public override readonly string ToString() => $"{W0:x}:{W1:x}:{W2:x}:{W3:x}";
}
