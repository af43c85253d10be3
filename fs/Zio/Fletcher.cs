using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ZfsLite.Fs;

/// <summary>
/// The Fletcher sums. Fletcher-4 is a chain of four running sums over 32-bit words; the fast form deals the words to L
/// lanes and puts the lanes' sums together at the end: a word that stands x rounds before the end of lane j stands Lx - j
/// words before the end of the whole, so each sum of the whole is a polynomial in x, written in the basis of the lane's sums.
/// </summary>
internal static unsafe class Fletcher
{
    private static readonly ulong[] s_coefficients4 = Coefficients(4);
    private static readonly ulong[] s_coefficients8 = Coefficients(8);

    internal static Checksum256 Fletcher4(byte* data, int size)
    {
        if (Vector512.IsHardwareAccelerated && size >= 256)
        {
            return Fletcher4Lanes8(data, size);
        }

        if (Vector256.IsHardwareAccelerated && size >= 128)
        {
            return Fletcher4Lanes4(data, size);
        }

        return Fletcher4Scalar(data, size, default);
    }

    /// <summary>The definition, one word at a time, from a running state.</summary>
    internal static Checksum256 Fletcher4Scalar(byte* data, int size, Checksum256 from)
    {
        ulong a = from.W0, b = from.W1, c = from.W2, d = from.W3;
        for (int i = 0; i + 4 <= size; i += 4)
        {
            a += Unsafe.ReadUnaligned<uint>(data + i);
            b += a;
            c += b;
            d += c;
        }

        return new Checksum256(a, b, c, d);
    }

    internal static Checksum256 Fletcher4Swapped(byte* data, int size)
    {
        ulong a = 0, b = 0, c = 0, d = 0;
        for (int i = 0; i + 4 <= size; i += 4)
        {
            a += BinaryPrimitives.ReverseEndianness(Unsafe.ReadUnaligned<uint>(data + i));
            b += a;
            c += b;
            d += c;
        }

        return new Checksum256(a, b, c, d);
    }

    internal static Checksum256 Fletcher2(byte* data, int size)
    {
        Vector128<ulong> a = default, b = default;
        for (int i = 0; i + 16 <= size; i += 16)
        {
            a += Vector128.Load((ulong*)(data + i));
            b += a;
        }

        return new Checksum256(a[0], a[1], b[0], b[1]);
    }

    internal static Checksum256 Fletcher2Scalar(byte* data, int size, bool swapped)
    {
        ulong a0 = 0, a1 = 0, b0 = 0, b1 = 0;
        for (int i = 0; i + 16 <= size; i += 16)
        {
            ulong x = Unsafe.ReadUnaligned<ulong>(data + i), y = Unsafe.ReadUnaligned<ulong>(data + i + 8);
            a0 += swapped ? BinaryPrimitives.ReverseEndianness(x) : x;
            a1 += swapped ? BinaryPrimitives.ReverseEndianness(y) : y;
            b0 += a0;
            b1 += a1;
        }

        return new Checksum256(a0, a1, b0, b1);
    }

    internal static Checksum256 Fletcher4Lanes4(byte* data, int size)
    {
        Vector256<ulong> a = default, b = default, c = default, d = default;
        int end = size & ~31;
        for (int i = 0; i < end; i += 32)
        {
            (Vector256<ulong> low, Vector256<ulong> high) = Vector256.Widen(Vector256.Load((uint*)(data + i)));
            a += low;
            b += a;
            c += b;
            d += c;
            a += high;
            b += a;
            c += b;
            d += c;
        }

        ulong* lanes = stackalloc ulong[16];
        a.Store(lanes);
        b.Store(lanes + 4);
        c.Store(lanes + 8);
        d.Store(lanes + 12);
        return Fletcher4Scalar(data + end, size - end, Combine(lanes, 4, s_coefficients4));
    }

    internal static Checksum256 Fletcher4Lanes8(byte* data, int size)
    {
        Vector512<ulong> a = default, b = default, c = default, d = default;
        int end = size & ~63;
        for (int i = 0; i < end; i += 64)
        {
            (Vector512<ulong> low, Vector512<ulong> high) = Vector512.Widen(Vector512.Load((uint*)(data + i)));
            a += low;
            b += a;
            c += b;
            d += c;
            a += high;
            b += a;
            c += b;
            d += c;
        }

        ulong* lanes = stackalloc ulong[32];
        a.Store(lanes);
        b.Store(lanes + 8);
        c.Store(lanes + 16);
        d.Store(lanes + 24);
        return Fletcher4Scalar(data + end, size - end, Combine(lanes, 8, s_coefficients8));
    }

    private static Checksum256 Combine(ulong* lanes, int count, ulong[] k)
    {
        ulong a = 0, b = 0, c = 0, d = 0;
        ulong l = (uint)count;
        for (int j = 0; j < count; j++)
        {
            ulong aj = lanes[j], bj = lanes[count + j], cj = lanes[(2 * count) + j], dj = lanes[(3 * count) + j];
            a += aj;
            b += (l * bj) - ((ulong)j * aj);
            c += (k[j * 5] * aj) + (k[(j * 5) + 1] * bj) + (l * l * cj);
            d += (k[(j * 5) + 2] * aj) + (k[(j * 5) + 3] * bj) + (k[(j * 5) + 4] * cj) + (l * l * l * dj);
        }

        return new Checksum256(a, b, c, d);
    }

    /// <summary>
    /// Five numbers a lane: the third sum in terms of the lane's first two, then the fourth in terms of its first three.
    /// The basis polynomials 1, x, x(x+1)/2, x(x+1)(x+2)/6 vanish one after the other at 0, -1, -2, so three values of the
    /// wanted polynomial give its coefficients.
    /// </summary>
    private static ulong[] Coefficients(int lanes)
    {
        var k = new ulong[lanes * 5];
        for (long j = 0; j < lanes; j++)
        {
            long Second(long x) => ((lanes * x) - j) * ((lanes * x) - j + 1) / 2;
            long Third(long x) => ((lanes * x) - j) * ((lanes * x) - j + 1) * ((lanes * x) - j + 2) / 6;
            long c1 = Second(0) - Second(-1);
            long d1 = Third(0) - Third(-1);
            k[j * 5] = (ulong)Second(0);
            k[(j * 5) + 1] = (ulong)c1;
            k[(j * 5) + 2] = (ulong)Third(0);
            k[(j * 5) + 3] = (ulong)d1;
            k[(j * 5) + 4] = (ulong)(Third(-2) - Third(0) + (2 * d1));
        }

        return k;
    }
}
