namespace ZfsLite.Fs;

/// <summary>What all parts of a check share: the pool, the findings, and which space is allocated and referred to.</summary>
internal sealed unsafe class CheckContext
{
    private readonly byte[] _scratch = new byte[ZioBuf.MaxSize];
    private ulong _progressBytes;
    private int _progressPermille = -1;

    internal CheckContext(PoolReader pool, CheckOptions options)
    {
        Pool = pool;
        Options = options;
        Result = new CheckResult(options.MaxFindings);
        Allocated = new SpaceBitmap(pool.Vdevs);
        Referenced = new SpaceBitmap(pool.Vdevs);
    }

    internal PoolReader Pool { get; }

    internal CheckOptions Options { get; }

    internal CheckResult Result { get; }

    internal SpaceBitmap Allocated { get; }

    internal SpaceBitmap Referenced { get; }

    /// <summary>Part of the pool could not be walked: what lies there is not leaked.</summary>
    internal bool IsPartial { get; set; }

    internal void Error(string dataset, ulong obj, string message) =>
        Result.Add(new CheckFinding(CheckSeverity.Error, dataset, obj, message));

    internal void Warn(string dataset, ulong obj, string message) =>
        Result.Add(new CheckFinding(CheckSeverity.Warning, dataset, obj, message));

    internal void Note(string dataset, ulong obj, string message) =>
        Result.Add(new CheckFinding(CheckSeverity.Note, dataset, obj, message));

    /// <summary>Reports a number that is not what it should be.</summary>
    internal void Compare(string dataset, ulong obj, string what, ulong stored, ulong actual)
    {
        if (stored != actual)
        {
            Error(dataset, obj, $"{what} is {stored}, should be {actual}");
        }
    }

    internal void Progress(string what, ulong bytes = 0)
    {
        _progressBytes += bytes;
        if (Options.Progress is { } tell)
        {
            int permille = Result.AllocatedBytes == 0 ? 0 : (int)Math.Min(990, _progressBytes * 1000 / Result.AllocatedBytes);
            if (permille != _progressPermille || bytes == 0)
            {
                _progressPermille = permille;
                tell(permille / 1000.0, what);
            }
        }
    }

    /// <summary>
    /// Puts a block's space down as referred to. False if some of it was already, or the block lies where no block can be:
    /// then nothing below it should be followed.
    /// </summary>
    internal bool Refer(string dataset, ulong obj, in Blkptr bp, int depth = 0)
    {
        bool good = true;
        Result.Blocks += depth == 0 ? 1 : 0;
        for (int copy = 0; copy < 3; copy++)
        {
            Dva dva = bp[copy];
            if (!dva.IsValid || IsOnMissing(dva))
            {
                continue;
            }

            ulong size = dva.IsGang ? 1UL << (Pool.Vdevs.ElementAtOrDefault((int)dva.Vdev)?.Ashift ?? 9) : dva.Asize;
            if (!Referenced.Covers(dva.Vdev, dva.Offset, size))
            {
                Error(dataset, obj, $"copy {copy} lies outside its vdev: {bp}");
                good = false;
                continue;
            }

            ulong twice = Referenced.Add(dva.Vdev, dva.Offset, size);
            ulong allocated = Allocated.Count(dva.Vdev, dva.Offset, size);
            Result.ReferencedBytes += size - twice;
            if (twice != 0)
            {
                Error(dataset, obj, $"copy {copy} takes space that another block has ({twice} bytes referred to twice): {bp}");
                good = false;
            }
            else if (allocated != size)
            {
                Error(dataset, obj, $"copy {copy} takes space that is free in the space map ({size - allocated} bytes not allocated): {bp}");
            }

            if (dva.IsGang && good)
            {
                good = ReferGang(dataset, obj, bp, copy, depth);
            }
        }

        return good;
    }

    /// <summary>Reads every copy of a block and reports the bad ones. True if one was good; its contents are in <paramref name="dst"/>.</summary>
    internal bool VerifyCopies(string dataset, ulong obj, in Blkptr bp, byte[] dst)
    {
        Progress(dataset, bp.Asize);
        if (ZioReader.Problem(bp) is { } problem)
        {
            Error(dataset, obj, $"impossible block pointer ({problem}): {bp}");
            return false;
        }

        bool any = false, tried = false;
        for (int copy = 0; copy < 3; copy++)
        {
            if (!bp[copy].IsValid || IsOnMissing(bp[copy]))
            {
                continue;
            }

            tried = true;
            int error;
            fixed (byte* p = any ? _scratch : dst)
            {
                error = ZioReader.ReadCopy(Pool.Vdevs, bp, copy, p);
            }

            any |= error == 0;
            if (error != 0)
            {
                Error(dataset, obj, $"copy {copy} {(error == Errno.ECKSUM ? "has a bad checksum" : "can't be read")}: {bp}");
            }
        }

        if (!any)
        {
            Error(dataset, obj, tried ? $"no copy is good, the block is lost: {bp}" : $"no copy is on a device that is here: {bp}");
        }

        return any;
    }

    internal bool IsOnMissing(in Dva dva) => dva.Vdev < (uint)Pool.Vdevs.Count && Pool.IsMissing((int)dva.Vdev);

    private bool ReferGang(string dataset, ulong obj, in Blkptr bp, int copy, int depth)
    {
        byte* header = stackalloc byte[512];
        if (depth > 8 || ZioReader.ReadGangHeader(Pool.Vdevs, bp, copy, header) != 0)
        {
            Error(dataset, obj, $"gang header of copy {copy} is bad: {bp}");
            return copy > 0;
        }

        // The headers of all copies name the same children: count these once.
        bool good = true;
        for (int i = 0; i < 3 && copy == 0; i++)
        {
            Blkptr child = ((Blkptr*)header)[i];
            if (!child.IsHole)
            {
                good &= Refer(dataset, obj, child, depth + 1);
            }
        }

        return good;
    }
}
