using System.Runtime.InteropServices;

namespace ZfsLite.Cli;

/// <summary>
/// What SIGINT and SIGTERM do to a daemon. The first asks for a clean unmount, however long that takes: the kernel may have
/// gigabytes to hand over. The daemon gives up when for <see cref="LimitSecondsDefault"/> seconds no txg reached the disk and no
/// request was answered, or when a second signal comes later than <see cref="PatienceSeconds"/> seconds after the first.
/// </summary>
/// <remarks>Reading the progress takes locks that a stuck thread may hold, so that has a thread of its own; the one that decides takes none.</remarks>
internal sealed class UnmountGuard(
    int limitSeconds, Action requestUnmount, Func<(ulong Txg, long Requests)> progress, Action<string> giveUp, ManualResetEventSlim closed, TextWriter log)
{
    /// <summary>How long an unmount may go on without progress, seconds.</summary>
    internal const int LimitSecondsDefault = 60;

    /// <summary>A second signal counts when this time has passed, seconds: a hasty one is often meant for the first.</summary>
    internal const int PatienceSeconds = 5;

    private const int LookMs = 200;

    private long _firstMs;
    private int _gaveUp;
    private long _progressMs;

    /// <summary>Handles a signal until the registration is disposed of.</summary>
    internal PosixSignalRegistration On(PosixSignal signal) => PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        Signalled();
    });

    /// <summary>A signal has come.</summary>
    internal void Signalled()
    {
        long now = Environment.TickCount64;
        long first = Interlocked.CompareExchange(ref _firstMs, now, 0);
        if (first == 0)
        {
            Volatile.Write(ref _progressMs, now);
            new Thread(Look) { IsBackground = true, Name = "unmount_progress" }.Start();
            new Thread(Watch) { IsBackground = true, Name = "unmount_guard" }.Start();
            requestUnmount();
        }
        else if (now - first >= PatienceSeconds * 1000)
        {
            GiveUp("and a second signal came");
        }
        else
        {
            log.WriteLine($"zfslite: unmounting; a signal later than {PatienceSeconds} s after the first ends the daemon without writing what it holds");
        }
    }

    private void Look()
    {
        (ulong, long) last = progress();
        while (!closed.Wait(LookMs))
        {
            (ulong, long) seen = progress();
            if (seen != last)
            {
                last = seen;
                Volatile.Write(ref _progressMs, Environment.TickCount64);
            }
        }
    }

    private void Watch()
    {
        while (!closed.Wait(LookMs))
        {
            if (Environment.TickCount64 - Volatile.Read(ref _progressMs) >= limitSeconds * 1000L)
            {
                GiveUp($"for {limitSeconds} s no transaction group was written and no request answered");
                return;
            }
        }
    }

    private void GiveUp(string why)
    {
        if (Interlocked.Exchange(ref _gaveUp, 1) == 0 && !closed.IsSet)
        {
            giveUp(why);
        }
    }
}
