using Mono.Unix.Native;
using Xunit;

namespace ZfsLite.Tests.Posix;

/// <summary>What df says, and what happens when nothing is left.</summary>
public sealed class SpaceCases : PosixCases
{
    private const int Piece = 1 << 20;

    private Statvfs Space()
    {
        Assert.Equal(0, Syscall.statvfs(Root, out Statvfs stat));
        return stat;
    }

    private long Available()
    {
        Statvfs s = Space();
        return (long)(s.f_bavail * s.f_frsize);
    }

    /// <summary>
    /// Until nothing that was removed before is still to be freed, which some file systems do transactions later. Nothing may be open.
    /// </summary>
    private void Settle()
    {
        const int calmMs = 7000, roundsMax = 6;
        if (Target.Remount is not null)
        {
            Remount();
            return;
        }

        long last = -1;
        for (int i = 0; i < roundsMax && Available() != last; i++)
        {
            last = Available();
            Thread.Sleep(calmMs);
        }
    }

    [PosixCase]
    public void Df_counts_in_units_that_fit_together()
    {
        Statvfs s = Space();
        Assert.Equal(255ul, s.f_namemax);
        Assert.True(s.f_blocks > 0 && s.f_bfree <= s.f_blocks && s.f_bavail <= s.f_bfree, $"{s.f_blocks} {s.f_bfree} {s.f_bavail}");
        Assert.True(s.f_files > 0 && s.f_ffree <= s.f_files && s.f_ffree > 0, $"{s.f_files} {s.f_ffree}");
        Assert.InRange(s.f_frsize, 512ul, 1ul << 17);
    }

    [PosixCase]
    public void What_is_written_goes_from_df_and_comes_back_with_its_removal()
    {
        const int size = 16 << 20;
        Settle();
        long before = Available();
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        for (int at = 0; at < size; at += Piece)
        {
            WriteAt(fd, at, Pattern(Piece, at));
        }

        Must(Sys.Fsync(fd));
        long used = 0;
        Assert.True(Soon(() => (used = before - Available()) is > size - (size / 64) and < size + (size / 4)), $"{used} bytes went for {size}");
        Assert.True(Soon(() => (long)Fstat(fd).Blocks * 512 is > size - (size / 64) and < size + (size / 4)), $"{Fstat(fd).Blocks} blocks");
        Close(fd);
        Must(Sys.Unlink(At("f")));
        Settle();
        Assert.True(Available() > before - (size / 4), $"{before - Available()} bytes of {used} did not come back");
    }

    [PosixCase(Needs = PosixNeeds.Small)]
    public void A_full_file_system_says_ENOSPC_and_df_says_so_too()
    {
        Settle();
        long before = Available(), free = (long)(Space().f_bfree * Space().f_frsize);
        int fd = Open("fill", Sys.Creat | Sys.RdWr);
        long written = 0;
        long result;
        byte[] piece = Pattern(Piece);
        do
        {
            // A write may go to the page cache; then it is the fsync that says it.
            result = Sys.Pwrite(fd, piece, written);
            written += Math.Max(result, 0);
            if (result > 0 && written % (4 << 20) == 0)
            {
                int synced = Sys.Fsync(fd);
                result = synced < 0 ? synced : result;
            }
        }
        while (result > 0 && written < 2 * before);

        Fails(E.NOSPC, result);
        _ = Sys.Fsync(fd);
        Assert.InRange(written, before * 8 / 10, free + (16 << 20));
        Assert.InRange(Available(), 0, (before / 20) + (8 << 20));

        // What is there is whole, and can be read and removed.
        Assert.Equal(piece, ReadAt(fd, 0, Piece));
        Assert.Equal(piece, ReadAt(fd, Piece, Piece));
        Fails(E.NOSPC, Sys.Fallocate(fd, 0, 0, 2 * before));
        Close(fd);
        Must(Sys.Unlink(At("fill")));
        Settle();
        Assert.True(Available() > before * 9 / 10, $"{Available()} of {before}");
        Make("again", piece);
        Assert.Equal(piece, File.ReadAllBytes(At("again")));
    }

    [PosixCase(Needs = PosixNeeds.Small)]
    public void An_unlinked_open_file_holds_its_space_until_it_is_closed()
    {
        const int size = 16 << 20;
        Settle();
        long before = Available();
        int fd = Open("f", Sys.Creat | Sys.RdWr);
        for (int at = 0; at < size; at += Piece)
        {
            WriteAt(fd, at, Pattern(Piece, at));
        }

        Must(Sys.Fsync(fd));
        Must(Sys.Unlink(At("f")));
        Assert.True(Soon(() => before - Available() is > size - (size / 64) and < size + (size / 4)), $"{before - Available()} bytes are held for {size}");
        Close(fd);
        Settle();
        Assert.True(Available() > before - (size / 4), $"{before - Available()} bytes did not come back");
    }
}
