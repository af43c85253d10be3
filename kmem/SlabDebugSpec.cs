using System.IO.Enumeration;

namespace ZfsLite.Kmem;

/// <summary>
/// Which caches are watched, and how: the syntax of Linux's slub_debug. Blocks are separated by ';'; a block is letters
/// (<see cref="SlabDebugFlags"/>), or '-' for none, and after a ',' the names of caches, with '*' for any part. No names: all caches. No letters:
/// FZPU. The last block that names a cache decides, whatever a block without names says. Large allocations, those made of whole pages,
/// go by the name <see cref="LargeName"/>.
/// </summary>
public sealed class SlabDebugSpec
{
    /// <summary>The name under which allocations of whole pages are watched: L and A.</summary>
    public const string LargeName = "kmem_alloc-large";

    /// <summary>No cache is watched.</summary>
    public static readonly SlabDebugSpec None = new([], string.Empty);

    private readonly List<Block> _blocks;
    private readonly string _text;

    private SlabDebugSpec(List<Block> blocks, string text) => (_blocks, _text) = (blocks, text);

    /// <summary>Is nothing watched?</summary>
    public bool IsNone => !Watches((SlabDebugFlags)~0);

    /// <summary>Is anything watched in one of these ways?</summary>
    public bool Watches(SlabDebugFlags flags) => _blocks.Exists(b => (b.Flags & flags) != 0);

    /// <summary>The text that it was read from; empty for <see cref="None"/>.</summary>
    public override string ToString() => _text;

    /// <summary>Reads a specification.</summary>
    /// <param name="text">Such as "FZ;L,zio_buf_*,kmalloc-128".</param>
    /// <exception cref="FormatException">An unknown letter, or a block of names without a name.</exception>
    public static SlabDebugSpec Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var blocks = new List<Block>();
        foreach (string part in text.Split(';', StringSplitOptions.TrimEntries))
        {
            string[] words = part.Split(',', StringSplitOptions.TrimEntries);
            string[] names = words[1..];
            if (Array.Exists(names, static n => n.Length == 0))
            {
                throw new FormatException($"slab debugging '{part}': a name of a cache is empty");
            }

            blocks.Add(new Block(FlagsOf(words[0]), names));
        }

        return new SlabDebugSpec(blocks, text);
    }

    /// <summary>How a cache is watched.</summary>
    public SlabDebugFlags For(string cache)
    {
        SlabDebugFlags all = SlabDebugFlags.None;
        SlabDebugFlags? own = null;
        foreach (Block block in _blocks)
        {
            if (block.Names.Length == 0)
            {
                all = block.Flags;
            }
            else if (Array.Exists(block.Names, n => FileSystemName.MatchesSimpleExpression(n, cache, ignoreCase: false)))
            {
                own = block.Flags;
            }
        }

        return own ?? all;
    }

    /// <summary>The letters of some flags; "-" for none.</summary>
    public static string Letters(SlabDebugFlags flags)
    {
        string letters = string.Concat("FZPUTLA".Where(c => (flags & FlagOf(c, string.Empty)) != 0));
        return letters.Length == 0 ? "-" : letters;
    }

    private static SlabDebugFlags FlagsOf(string letters)
    {
        if (letters is "" or "-")
        {
            return letters.Length == 0 ? SlabDebugFlags.Default : SlabDebugFlags.None;
        }

        SlabDebugFlags flags = SlabDebugFlags.None;
        foreach (char c in letters)
        {
            flags |= FlagOf(c, letters);
        }

        return flags;
    }

    private static SlabDebugFlags FlagOf(char letter, string letters) => char.ToUpperInvariant(letter) switch
    {
        'F' => SlabDebugFlags.Consistency,
        'Z' => SlabDebugFlags.RedZone,
        'P' => SlabDebugFlags.Poison,
        'U' => SlabDebugFlags.Owner,
        'T' => SlabDebugFlags.Trace,
        'L' => SlabDebugFlags.Leaks,
        'A' => SlabDebugFlags.Failslab,
        _ => throw new FormatException($"slab debugging '{letters}': there is no '{letter}'; F, Z, P, U, T, L, A and - are possible"),
    };

    private readonly record struct Block(SlabDebugFlags Flags, string[] Names);
}
