using System.Globalization;

namespace ZfsLite.Torture;

/// <summary>Seeds to run on one engine, in one process, one after the other.</summary>
internal sealed record TortureOrder(string Engine, ulong First, int Count, string Plant, ulong PlantSeed)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Engine} {First} {Count} {Plant} {PlantSeed}");

    internal static TortureOrder Parse(string line)
    {
        string[] words = line.Split(' ');
        return new TortureOrder(
            words[0],
            ulong.Parse(words[1], CultureInfo.InvariantCulture),
            int.Parse(words[2], CultureInfo.InvariantCulture),
            words[3],
            ulong.Parse(words[4], CultureInfo.InvariantCulture));
    }
}
