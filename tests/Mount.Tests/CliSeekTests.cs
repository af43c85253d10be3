using Xunit;

namespace ZfsLite.Tests.Mount;

/// <summary>A daemon that is killed while it waits for the kernel to send it pages, and the mount while it waits long.</summary>
public sealed class CliSeekTests : IDisposable
{
    private readonly CliMount _m = new();

    public void Dispose() => _m.Dispose();

    /// <summary>
    /// The sync thread is held; direct writes, one at a time, use up what may be dirty, and then the one page that the seek asks for
    /// has to wait too. The arena is large enough for more requests that may wait than the few that other tests make the kernel send (FORGETs).
    /// </summary>
    [FuseFact]
    public void A_daemon_killed_while_it_waits_for_pages_is_gone_at_once_and_nobody_hangs()
    {
        string hold = _m.Files.File("hold"), zfslite = Path.Combine(AppContext.BaseDirectory, "zfslite");
        File.WriteAllText(hold, "");
        _m.Create();
        _m.Mount();
        _m.Shell($"touch {_m.Mnt}/g");
        _m.Unmount();
        const string seek = "import os,sys; f=os.open(sys.argv[1],os.O_RDWR); os.write(f,b\"x\"); os.lseek(f,0,os.SEEK_HOLE)";
        string output = _m.Shell($$"""
            ZFSLITE_TEST_HOLD_SYNC={{hold}} {{zfslite}} mount {{_m.Image}} {{_m.Mnt}} --memory 128M > {{_m.Files.File("log")}} 2>&1 & daemon=$!
            for i in $(seq 200); do mountpoint -q {{_m.Mnt}} && break; sleep 0.05; done
            dd if=/dev/urandom of={{_m.Mnt}}/f bs=64k count=2000 oflag=direct 2> /dev/null & writer=$!
            sleep 5
            python3 -c '{{seek}}' {{_m.Mnt}}/g 2> /dev/null & seeker=$!
            flush=
            for i in $(seq 300); do
                for t in /proc/$daemon/task/*; do
                    [ "$(cat $t/comm)" != fuse_pages ] || flush=$(awk '/^State/ { print $2 }' $t/status)
                done
                [ "$flush" != D ] || break
                sleep 0.1
            done
            echo "flush: $flush"
            kill -0 $seeker && echo waiting
            stat {{_m.Mnt}}/g > /dev/null && echo serving
            kill -9 $daemon
            for i in $(seq 200); do kill -0 $daemon 2> /dev/null || break; sleep 0.05; done
            if kill -0 $daemon 2> /dev/null; then echo "still there"; umount -f {{_m.Mnt}}; else echo gone; fi
            wait $writer || echo "write refused"
            wait $seeker || echo "seek refused"
            """);
        Assert.Equal("flush: D|waiting|serving|gone|write refused|seek refused", output.ReplaceLineEndings("|"));
        File.Delete(hold);
        _m.Shell($"umount -l {_m.Mnt}");
        _m.Mount();
        _m.Unmount();
        _m.JudgesAreContent();
    }
}
