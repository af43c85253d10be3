using System.Xml.Linq;
using ZfsLite.Kmem.Spl;
using ZfsLite.Txn;

namespace ZfsLite.Tests.Txn;

/// <summary>The picture of a deadlock: whatever the threads and locks are called, every text stays in its place.</summary>
public sealed class WaitGraphSvgTests
{
    private const string Unbroken = "z_write_issue_of_a_pool_with_a_very_long_name_that_has_no_blanks_anywhere_and_goes_on_and_on/12";
    private const ThreadFlags Marks = ThreadFlags.Fstrans | ThreadFlags.Memalloc | ThreadFlags.InReclaim | ThreadFlags.SyncPath;

    public static TheoryData<int> Sizes => new() { 1, 2, 5 };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Every_text_fits_its_box_and_the_picture(int threads) => World.Run(() =>
    {
        XDocument svg = XDocument.Parse(Picture(threads));
        List<XElement> boxes = [.. svg.Descendants().Where(static e => (string?)e.Attribute("class") is "box" or "cycle")];
        Assert.Equal(threads + 1, boxes.Count);
        (double right, double bottom) = (Number(svg.Root!, "width"), Number(svg.Root!, "height"));
        var used = new HashSet<XElement>();
        foreach (XElement text in svg.Descendants().Where(static e => e.Name.LocalName == "text"))
        {
            string kind = (string)text.Attribute("class")!;
            double x = Number(text, "x");
            double y = Number(text, "y");
            double end = x + SvgText.Width(text.Value, kind is "name" or "title", kind == "title" ? 18 : SvgText.FontSize);
            Assert.True(end <= right && y <= bottom, $"'{text.Value}' ends at {end:F0}, {y:F0} in a picture of {right} x {bottom}");
            XElement? box = boxes.Find(b => x >= Number(b, "x") && x < Number(b, "x") + Number(b, "width") && y >= Number(b, "y") && y - 10 <= Number(b, "y") + Number(b, "height"));
            if (box is not null)
            {
                used.Add(box);
                Assert.True(end <= Number(box, "x") + Number(box, "width") - 8, $"'{text.Value}' ends at {end:F0}, its box at {Number(box, "x") + Number(box, "width")}");
                Assert.True(y <= Number(box, "y") + Number(box, "height") - 4, $"'{text.Value}' stands below its box");
            }
        }

        Assert.Equal(boxes.Count, used.Count);
        AssertNoOverlap(svg);
    });

    [Fact]
    public void Long_texts_are_wrapped_between_words_then_inside_them_and_cut_with_a_sign()
    {
        Assert.Equal(["one"], SvgText.Wrap("one", 200));
        List<string> lines = SvgText.Wrap($"held by {Unbroken} and others", 200);
        Assert.All(lines, static l => Assert.True(SvgText.Width(l) <= 200, l));
        Assert.Equal($"held by {Unbroken} and others".Replace(" ", ""), string.Concat(lines).Replace(" ", ""));
        List<string> cut = SvgText.Wrap($"held by {Unbroken} and others", 200, linesMax: 2);
        Assert.Equal(2, cut.Count);
        Assert.EndsWith("…", cut[1], StringComparison.Ordinal);
        Assert.True(SvgText.Width(cut[1]) <= 200);
        Assert.True(SvgText.Width("wide", bold: true) > SvgText.Width("wide"));
        Assert.True(SvgText.Width("WWW") > 2 * SvgText.Width("iii"));
    }

    /// <summary>Threads with long names, all marks and long lock names, each waiting for the next and the last for the first; one more behind them.</summary>
    private static string Picture(int threads)
    {
        PlantedWait[] waits = [.. Enumerable.Range(0, threads).Select(static i =>
            new PlantedWait($"blocks of the transaction group to be prepared, compressed, encrypted, checksummed and written to {Unbroken} ({i})", (Kthread?)null))];
        Kthread[] all = [.. Enumerable.Range(0, threads).Select(i => Kthread.Start($"{Unbroken}/{i}", () => Block(waits[(i + 1) % threads])))];
        for (int i = 0; i < threads; i++)
        {
            waits[i].Owners[0] = all[i];
        }

        var behind = new PlantedWait("space " + Unbroken, all[0]);
        Kthread victim = Kthread.Start(Unbroken, () => Block(behind));
        World.Until(() => victim.WaitingFor == behind && all.All(static t => t.WaitingFor is PlantedWait), "all blocked");
        DeadlockReport? report = WaitGraph.Prove(20_000_000);
        Assert.NotNull(report);
        Assert.Equal(threads, report.Cycles[0].Edges.Count);
        foreach (PlantedWait wait in waits.Append(behind))
        {
            wait.End();
        }

        foreach (Kthread t in all.Append(victim))
        {
            t.Join();
        }

        return report.ToSvg();
    }

    private static void Block(PlantedWait wait)
    {
        Kthread self = Kthread.Current;
        ThreadFlags before = self.Flags;
        self.Flags |= Marks;
        var held = new Kmutex("the lock of " + Unbroken);
        held.Enter();
        wait.Wait();
        held.Exit();
        self.Flags = before;
    }

    private static void AssertNoOverlap(XDocument svg)
    {
        List<(double X, double End, double Y, string Text)> texts = [.. svg.Descendants().Where(static e => e.Name.LocalName == "text")
            .Select(static t => (Number(t, "x"), Number(t, "x") + SvgText.Width(t.Value), Number(t, "y"), t.Value))];
        for (int i = 0; i < texts.Count; i++)
        {
            for (int j = 0; j < i; j++)
            {
                bool apart = texts[i].X >= texts[j].End || texts[j].X >= texts[i].End || Math.Abs(texts[i].Y - texts[j].Y) >= 13;
                Assert.True(apart, $"'{texts[i].Text}' lies on '{texts[j].Text}'");
            }
        }
    }

    private static double Number(XElement e, string attribute) => double.Parse((string)e.Attribute(attribute)!, System.Globalization.CultureInfo.InvariantCulture);
}
