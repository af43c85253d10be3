using System.Globalization;
using System.Text.Json;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <summary>A worker's side of torture images.</summary>
internal static class ImageWorker
{
    private static readonly Dictionary<string, ImageMap> s_maps = new(StringComparer.Ordinal);

    /// <summary>Tries the images of an order. Each must end within the time that a worker has for a schedule, and with the heap it has.</summary>
    internal static string Serve(TortureOrder order, TextWriter output)
    {
        var counts = new ImageCounts();
        ImageMap map = Map(order.Engine);
        for (ulong seed = order.First; seed < order.First + (ulong)order.Count; seed++)
        {
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"s {seed}"));
            if (ImageTrial.Simulate(map, seed, counts) is { } text)
            {
                return TortureWorker.Fail(new TortureFailure(order.Engine, seed, 1, text));
            }
        }

        return "c " + JsonSerializer.Serialize(counts.ToNames());
    }

    private static ImageMap Map(string pool)
    {
        if (!s_maps.TryGetValue(pool, out ImageMap? map))
        {
            SimResult result = SimWorld.Run(new SimOptions { MaxSteps = ImageTrial.StepsMax }, () => map = ImageTrial.Map(pool, Path.Combine("tests", "golden")));
            s_maps.Add(pool, map ?? throw new InvalidOperationException($"pool {pool} can't be made: {result}"));
        }

        return map;
    }
}
