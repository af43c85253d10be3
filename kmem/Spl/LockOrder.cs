using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;

namespace ZfsLite.Kmem.Spl;

/// <summary>
/// The lock-order checker. Whenever a lock is taken while another one is held, the pair of their classes is an edge of a
/// graph, kept as a bit matrix for the life of the process. An edge that closes a cycle means that the same locks are taken in
/// opposite orders somewhere, and is reported once, with both chains, whether or not a deadlock came of it: on any thread, at any
/// time, with no load at all.
/// <para>
/// A lock taken by a try adds no edge to itself (a try doesn't wait) but others taken under it do. A lock taken under one of
/// its own class needs <c>EnterNested</c>. Things that aren't locks but can be waited for under locks take part as
/// pseudo-locks: reclaim ("fs_reclaim"), an open transaction ("open tx").
/// </para>
/// <para>Cost when the edge is known: one bit test against the lock taken last. ZFSLITE_LOCKORDER=off turns it off.</para>
/// </summary>
public static class LockOrder
{
    /// <summary>Bit of a class word: the lock was taken by a try.</summary>
    internal const int Try = 1 << 16;

    private const int MaxClasses = 1024;
    private const int IdMask = Try - 1;

    /// <summary>True unless the checker is turned off.</summary>
    public static readonly bool Enabled =
        !string.Equals(Environment.GetEnvironmentVariable("ZFSLITE_LOCKORDER"), "off", StringComparison.Ordinal);

    private static readonly object s_lock = new();
    private static readonly Dictionary<string, LockClass> s_classes = new(StringComparer.Ordinal);
    private static readonly LockClass?[] s_byId = new LockClass?[MaxClasses];
    private static readonly ulong[] s_edges = new ulong[MaxClasses * MaxClasses / 64];
    private static readonly Dictionary<int, Evidence> s_evidence = [];
    private static readonly List<LockOrderViolation> s_violations = [];
    private static int s_count = 1;

    /// <summary>Called once for each violation, by the thread that closed the cycle, which holds locks: it must not take any.</summary>
    public static Action<LockOrderViolation>? OnViolation { get; set; }

    /// <summary>What was found so far: a snapshot.</summary>
    public static IReadOnlyList<LockOrderViolation> Violations
    {
        get
        {
            lock (s_lock)
            {
                return [.. s_violations];
            }
        }
    }

    /// <summary>The class of a name; made at first use. Beyond 1023 classes new ones aren't tracked.</summary>
    public static LockClass Class(string name)
    {
        lock (s_lock)
        {
            if (!s_classes.TryGetValue(name, out LockClass? c))
            {
                int id = s_count < MaxClasses ? s_count++ : 0;
                c = new LockClass(name, id);
                if (id != 0)
                {
                    s_classes.Add(name, c);
                    s_byId[id] = c;
                }
            }

            return c;
        }
    }

    /// <summary>The calling thread enters what a pseudo-lock stands for.</summary>
    public static void AcquirePseudo(LockClass pseudo)
    {
        Kthread self = Kthread.Current;
        Check(self, pseudo, pseudo.Id);
        self.PushHeld(pseudo, pseudo.Id);
    }

    /// <summary>The calling thread entered it by a try, which would not have waited: no edge to it, only from it.</summary>
    public static void AcquirePseudoByTry(LockClass pseudo) => Kthread.Current.PushHeld(pseudo, pseudo.Id | Try);

    /// <summary>The calling thread leaves it. False: it wasn't in it.</summary>
    public static bool ReleasePseudo(LockClass pseudo) => Kthread.Current.TryPopHeld(pseudo);

    /// <summary>As acquire and release at once: the calling thread might enter it here.</summary>
    public static void TouchPseudo(LockClass pseudo) => Check(Kthread.Current, pseudo, pseudo.Id);

    /// <summary>Forgets all edges and violations: for tests.</summary>
    public static void Reset()
    {
        lock (s_lock)
        {
            Array.Clear(s_edges);
            s_evidence.Clear();
            s_violations.Clear();
        }
    }

    /// <summary>Checks an acquisition that may block, before it does.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Check(Kthread self, IWaitable what, int id)
    {
        if (Enabled && self.HeldCount != 0)
        {
            CheckAgainstLast(self, what, id);
        }
    }

    private static void CheckAgainstLast(Kthread self, IWaitable what, int id)
    {
        int last = self.HeldClass(self.HeldCount - 1);
        if (last >= Try || !IsKnown(last, id))
        {
            CheckSlow(self, what, id);
        }
    }

    private static bool IsKnown(int from, int to) => (s_edges[(from << 4) + (to >> 6)] & (1UL << to)) != 0;

    /// <summary>Edges from every held lock back to the last one that was taken by waiting; that one stands for all before it.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void CheckSlow(Kthread self, IWaitable what, int id)
    {
        if (id == 0 || self.Holds(what))
        {
            return;
        }

        for (int i = self.HeldCount - 1; i >= 0; i--)
        {
            int word = self.HeldClass(i);
            int from = word & IdMask;
            if (from != 0 && !IsKnown(from, id))
            {
                AddEdge(self, from, id);
            }

            if (word < Try)
            {
                break;
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void AddEdge(Kthread self, int from, int to)
    {
        LockOrderViolation? violation = null;
        lock (s_lock)
        {
            if (IsKnown(from, to))
            {
                return;
            }

            var evidence = new Evidence(self.ToString(), string.Join(", ", self.HeldLocks().Select(static l => l.WaitName)), new StackTrace(2, false));
            List<int>? path = from == to ? [to] : FindPath(to, from);
            if (path is not null)
            {
                violation = Describe(from, to, path, evidence);
                s_violations.Add(violation);
            }

            s_evidence[(from * MaxClasses) + to] = evidence;
            s_edges[(from << 4) + (to >> 6)] |= 1UL << to;
        }

        if (violation is not null)
        {
            OnViolation?.Invoke(violation);
        }
    }

    /// <summary>The classes on a shortest way from one class to another along known edges, both included; null if there is none.</summary>
    private static List<int>? FindPath(int from, int to)
    {
        var previous = new int[s_count];
        var queue = new Queue<int>();
        previous[from] = from;
        queue.Enqueue(from);
        while (queue.TryDequeue(out int at))
        {
            for (int next = 1; next < s_count; next++)
            {
                if (previous[next] == 0 && IsKnown(at, next))
                {
                    previous[next] = at;
                    queue.Enqueue(next);
                }
            }

            if (previous[to] != 0)
            {
                break;
            }
        }

        if (previous[to] == 0)
        {
            return null;
        }

        List<int> path = [to];
        for (int at = to; at != from; at = previous[at])
        {
            path.Add(previous[at]);
        }

        path.Reverse();
        return path;
    }

    private static LockOrderViolation Describe(int from, int to, List<int> path, Evidence now)
    {
        var text = new StringBuilder();
        text.Append("lock order: ").Append(s_byId[to]!.Name).Append(" is taken under ").Append(s_byId[from]!.Name);
        text.AppendLine(from == to ? ", one of its own class, without a nesting level" : ", but elsewhere they are taken the other way round");
        now.Append(text, s_byId[from]!.Name, s_byId[to]!.Name);
        for (int i = 0; i + 1 < path.Count; i++)
        {
            s_evidence[(path[i] * MaxClasses) + path[i + 1]].Append(text, s_byId[path[i]]!.Name, s_byId[path[i + 1]]!.Name);
        }

        return new LockOrderViolation(s_byId[from]!.Name, s_byId[to]!.Name, [.. path.Select(static id => s_byId[id]!.Name)], text.ToString());
    }

    private sealed record Evidence(string Thread, string Held, StackTrace Stack)
    {
        internal void Append(StringBuilder text, string from, string to) => text
            .Append("  ").Append(from).Append(" -> ").Append(to).Append(" by ").Append(Thread).Append(", holding ").AppendLine(Held)
            .Append(Stack.ToString().TrimEnd()).AppendLine();
    }
}
