using System.Runtime.InteropServices;

namespace GlmTune.Cli;

/// <summary>SIGTERM and SIGINT (Ctrl-C), as a wish that a command stops; commands that cannot are ended by
/// them.</summary>
/// <remarks>
/// A launcher may ask twice: srun asks again once another rank has ended. Between the end of a command and that of the
/// process the second one would take the exit code away, so what listens stays until there is nothing left. </remarks>
internal sealed class StopSignals : IDisposable
{
    // Writing a checkpoint of a large model takes minutes.
    private static readonly TimeSpan TimeToStop = TimeSpan.FromMinutes(30);

    private readonly CancellationTokenSource stop = new();
    private readonly PosixSignalRegistration[] listening;
    private volatile bool heeded;

    public StopSignals() =>
        listening = [
            .. ((PosixSignal[])[PosixSignal.SIGTERM, PosixSignal.SIGINT]).Select(signal =>
                PosixSignalRegistration.Create(signal, Hear)
            ),
        ];

    /// <summary>Cancelled when somebody asks.</summary>
    public CancellationToken Token => stop.Token;

    /// <summary>From now on a signal only asks: what runs stops by itself.</summary>
    public void Heed() => heeded = true;

    public void Dispose()
    {
        foreach (var registration in listening)
        {
            registration.Dispose();
        }

        stop.Dispose();
    }

    private void Hear(PosixSignalContext signal)
    {
        if (!heeded)
        {
            return;
        }

        signal.Cancel = true;
        if (!stop.IsCancellationRequested)
        {
            stop.Cancel();
            _ = Task.Delay(TimeToStop).ContinueWith(_ => Environment.Exit(ExitCode.Stopped), TaskScheduler.Default);
        }
    }
}
