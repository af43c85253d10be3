using ZfsLite.Kmem;
using ZfsLite.Kmem.Spl;

namespace ZfsLite.Torture;

/// <content>The rest of the memory, and who has it.</content>
internal sealed unsafe partial class SlabModel
{
    /// <summary>Holds every page down to min; as a shrinker, gives back what it is asked for.</summary>
    private sealed class Hoard(SlabModel model) : IShrinker
    {
        private const int MostAtOnce = 16;
        private const long SlowNs = 150_000_000;

        private readonly List<(int Page, int Pages)> _held = [];
        private readonly SeededRandom _rng = new(model._seed + 77);

        public string Name => "model";

        public long Count(in ShrinkControl control) => _held.Sum(static h => (long)h.Pages);

        public long Scan(in ShrinkControl control, long toScan)
        {
            model.EnterFs(control.MayEnterFs);
            if (model._plan.IsSlow && _rng.OneIn(4))
            {
                Kthread.Sleep(_rng.Next(2) * SlowNs);
            }

            int freed = 0;
            while (_held.Count > 0 && freed < Math.Min(toScan, MostAtOnce))
            {
                (int page, int pages) = _held[^1];
                int now = Math.Min(pages, MostAtOnce - freed);
                if (now == pages)
                {
                    _held.RemoveAt(_held.Count - 1);
                }
                else
                {
                    _held[^1] = (page, pages - now);
                }

                freed += now;
                model._system.Pages.Free(page + pages - now, now);
            }

            return freed;
        }

        /// <summary>Takes pages until every node is at its min, in large pieces first.</summary>
        internal void FillToMin()
        {
            foreach (MemoryNode node in model._system.Pages.Nodes)
            {
                for (int order = MemoryNode.MaxOrder; order >= 0; order--)
                {
                    int page;
                    while ((page = node.TryAlloc(1 << order, node.Marks.Min + 2)) >= 0)
                    {
                        model._system.Mapping.Pages[page].Kind = PageKind.Large;
                        _held.Add((page, 1 << order));
                    }
                }
            }
        }

        internal void FreeAll()
        {
            while (_held.Count > 0)
            {
                (int page, int pages) = _held[^1];
                _held.RemoveAt(_held.Count - 1);
                model._system.Pages.Free(page, pages);
            }
        }
    }
}
