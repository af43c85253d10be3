using System.Runtime.InteropServices;

namespace ZfsLite.Torture;

/// <summary>SIGINT and SIGTERM while a run is under way: the first has it end what it is at and save, the second lets go of that too.</summary>
internal sealed class TortureInterrupt : IDisposable
{
    private readonly PosixSignalRegistration[] _signals;
    private volatile bool _came;

    internal TortureInterrupt(Action stop, Action abort)
    {
        void Came(PosixSignalContext context)
        {
            context.Cancel = true;
            (_came ? abort : stop)();
            _came = true;
        }

        _signals = [PosixSignalRegistration.Create(PosixSignal.SIGINT, Came), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Came)];
    }

    /// <summary>Has one come?</summary>
    internal bool HasCome => _came;

    public void Dispose() => Array.ForEach(_signals, static s => s.Dispose());
}
