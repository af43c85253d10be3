using System.Globalization;

namespace ZfsLite.Torture;

/// <summary>Seeds to run on one engine, in one process, one after the other.</summary>
/// <param name="Engine">The engine.</param>
/// <param name="First">The first seed.</param>
/// <param name="Count">How many.</param>
/// <param name="Plant">A fault to plant.</param>
/// <param name="PlantSeed">The seed to plant it in.</param>
/// <param name="ZdbOneIn">zdb judges one in so many states; 0: none.</param>
/// <param name="Zfslite">The program that runs zdb.</param>
internal sealed record TortureOrder(string Engine, ulong First, int Count, string Plant, ulong PlantSeed, int ZdbOneIn, string Zfslite)
{
    private const int Words = 7;

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Engine} {First} {Count} {Plant} {PlantSeed} {ZdbOneIn} {Zfslite}");

    internal static TortureOrder Parse(string line)
    {
        string[] words = line.Split(' ', Words);
        return new TortureOrder(
            words[0],
            ulong.Parse(words[1], CultureInfo.InvariantCulture),
            int.Parse(words[2], CultureInfo.InvariantCulture),
            words[3],
            ulong.Parse(words[4], CultureInfo.InvariantCulture),
            int.Parse(words[5], CultureInfo.InvariantCulture),
            words[6]);
    }
}
