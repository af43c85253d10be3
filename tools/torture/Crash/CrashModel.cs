using System.Text;

namespace ZfsLite.Torture;

/// <summary>
/// What one worker did in its own directory, step by step, and what was acknowledged. A step is what a crash may not cut: a change of names, an
/// attribute, one transaction's part of a write. After each step the model keeps hashes of the names, of each file's
/// contents and attributes, and of all together, so that whatever is found after a crash can be placed in the history.
/// </summary>
internal sealed class CrashModel
{
    private const int StepsNamed = 30;

    private readonly Dictionary<ulong, CrashTrack> _data = [];
    private readonly Dictionary<ulong, CrashTrack> _xattrs = [];
    private readonly CrashTrack _names = new();
    private readonly List<ulong> _totals = [0];
    private readonly List<int> _begunAt = [0];
    private readonly List<string> _texts = ["the start"];
    private readonly List<CrashAck> _acks = [];
    private readonly Dictionary<ulong, (ulong Data, ulong Xattrs)> _live = [];
    private ulong _namesHash;
    private ulong _total;

    internal CrashModel(ulong root)
    {
        Root = new CrashFile { Object = root, Mode = 0x41ED, Links = 1 };
        _names.Set(0, 0);
    }

    /// <summary>The worker's directory.</summary>
    internal CrashFile Root { get; }

    /// <summary>The last step taken.</summary>
    internal int Step => _totals.Count - 1;

    /// <summary>Everything that was acknowledged, in order.</summary>
    internal IReadOnlyList<CrashAck> Acks => _acks;

    /// <summary>What a step was, for messages.</summary>
    internal string TextOf(int step) => step < _texts.Count ? _texts[step] : "?";

    /// <summary>Begins a step.</summary>
    /// <param name="point">Writes and flushes done so far.</param>
    /// <param name="text">What it is.</param>
    internal void Begin(int point, string text)
    {
        _begunAt.Add(point);
        _texts.Add(text);
    }

    /// <summary>The step has been taken in the model.</summary>
    internal void End()
    {
        _totals.Add(_total);
        _names.Set(Step, _namesHash);
    }

    /// <summary>A step that was begun did not happen after all.</summary>
    internal void Cancel()
    {
        _begunAt.RemoveAt(_begunAt.Count - 1);
        _texts.RemoveAt(_texts.Count - 1);
    }

    internal void Acknowledge(CrashAck ack) => _acks.Add(ack);

    internal void AddName(CrashFile dir, string name, CrashFile file)
    {
        dir.Entries.Add(name, file);
        dir.LastStep = file.LastStep = _totals.Count;
        file.Parent = file.IsDirectory ? dir : null;
        Names(CrashTree.NameHash(dir.Object, Encoding.UTF8.GetBytes(name), file.Object));
        if (file.Links++ == 0)
        {
            _live[file.Object] = default;
            Touched(file);
        }
    }

    internal void RemoveName(CrashFile dir, string name)
    {
        CrashFile file = dir.Entries[name];
        _ = dir.Entries.Remove(name);
        dir.LastStep = file.LastStep = _totals.Count;
        Names(0 - CrashTree.NameHash(dir.Object, Encoding.UTF8.GetBytes(name), file.Object));
        if (--file.Links == 0)
        {
            (ulong data, ulong xattrs) = _live[file.Object];
            _ = _live.Remove(file.Object);
            _total -= data + xattrs;
        }
    }

    /// <summary>Contents, mode or extended attributes of a file have changed.</summary>
    internal void Touched(CrashFile file)
    {
        file.LastStep = _totals.Count;
        if (!_live.TryGetValue(file.Object, out (ulong Data, ulong Xattrs) old))
        {
            return;
        }

        ulong data = CrashTree.DataHash(file.Object, file.Mode, file.IsDirectory ? [] : file.Data);
        ulong xattrs = 0;
        foreach ((string name, ulong value) in file.Xattrs)
        {
            xattrs += CrashTree.XattrHash(file.Object, Encoding.UTF8.GetBytes(name), value);
        }

        _total += data - old.Data + xattrs - old.Xattrs;
        _live[file.Object] = (data, xattrs);
        Track(_data, file.Object).Set(_totals.Count, data, file.Mode, file.Data);
        Track(_xattrs, file.Object).Set(_totals.Count, xattrs);
    }

    /// <summary>The last step that must be there when the crash comes at a point.</summary>
    internal int MustHave(int point)
    {
        int step = 0;
        foreach (CrashAck ack in _acks)
        {
            step = ack.Point <= point ? Math.Max(step, ack.Step) : step;
        }

        return step;
    }

    /// <summary>
    /// Is what was found a state of the history, not before the last acknowledged step and not later than what was begun? Names are exactly those
    /// of one step. Contents and attributes of all files are those of the same step, as a txg leaves them; or, as the intent log leaves
    /// them, each file is of any step since its own last sync, and what changed since then may be there in part: a commit logs names in
    /// order, of other files nothing more, and contents as they are when it writes.
    /// </summary>
    /// <param name="found">What was found.</param>
    /// <param name="withContents">The same with contents, if they are needed.</param>
    /// <param name="point">Where the crash came.</param>
    /// <returns>Null, or what is wrong.</returns>
    internal string? Judge(CrashTree found, Func<CrashTree> withContents, int point)
    {
        int first = MustHave(point);
        int last = first;
        while (last + 1 < _totals.Count && _begunAt[last + 1] <= point)
        {
            last++;
        }

        for (int step = last; step >= first; step--)
        {
            if (_totals[step] == found.Total)
            {
                return null;
            }
        }

        CrashTree full = withContents();
        string? wrong = _names.WasIn(found.Names, first, last) ? JudgeFiles(full, point, last) : "the names";
        return wrong is null ? null : $"{wrong}; {Explain(full, first, last)}";
    }

    private string? JudgeFiles(CrashTree found, int point, int last)
    {
        foreach ((ulong obj, (ulong data, ulong xattrs)) in found.Files)
        {
            int first = 0;
            foreach (CrashAck ack in _acks)
            {
                first = ack.Point <= point && (ack.Object == 0 || ack.Object == obj) ? Math.Max(first, ack.Step) : first;
            }

            CrashTrack track = Track(_data, obj);
            (uint mode, byte[] contents) = found.Contents[obj];
            if (!track.WasIn(data, first, last) && !track.IsMixOf(mode, contents, first, last))
            {
                return $"object {obj}: contents of steps {track.Steps(data)}, where {first} to {last} are allowed";
            }

            track = Track(_xattrs, obj);
            if (!track.WasIn(xattrs, first, last) && !track.ChangedIn(first, last))
            {
                return $"object {obj}: extended attributes of steps {track.Steps(xattrs)}, where {first} to {last} are allowed";
            }
        }

        return null;
    }

    private string Explain(CrashTree found, int first, int last)
    {
        var text = new StringBuilder();
        int at = _totals.LastIndexOf(found.Total);
        text.Append($"directory {Root.Object}: steps {first} (\"{TextOf(first)}\") to {last} (\"{TextOf(last)}\") are allowed; ");
        if (at >= 0)
        {
            return text.Append($"found is step {at} (\"{TextOf(at)}\")").ToString();
        }

        text.Append($"found are the names of steps {_names.Steps(found.Names)}");
        foreach ((ulong obj, (ulong data, ulong xattrs)) in found.Files)
        {
            string steps = Track(_data, obj).Steps(data);
            text.Append($"; object {obj}: contents of {steps}, attributes of {Track(_xattrs, obj).Steps(xattrs)}");
            if (steps == CrashTrack.Never && found.Contents.TryGetValue(obj, out (uint Mode, byte[] Data) contents))
            {
                text.Append($" ({Track(_data, obj).Differs(contents.Mode, contents.Data)})");
            }
        }

        text.Append("; the steps: ");
        for (int step = Math.Max(first - 1, 0); step <= Math.Min(last, first + StepsNamed); step++)
        {
            text.Append($"{step} {TextOf(step)}, ");
        }

        return text.Append("acknowledged: ").AppendJoin(", ", _acks.Where(a => a.Step <= last).Select(static a => $"{a.Step} of {a.Object}")).ToString();
    }

    private void Names(ulong delta)
    {
        _namesHash += delta;
        _total += delta;
    }

    private static CrashTrack Track(Dictionary<ulong, CrashTrack> tracks, ulong obj)
    {
        if (!tracks.TryGetValue(obj, out CrashTrack? track))
        {
            tracks.Add(obj, track = new CrashTrack());
        }

        return track;
    }
}
