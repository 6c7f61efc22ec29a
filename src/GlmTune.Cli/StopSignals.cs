using System.Runtime.InteropServices;

namespace GlmTune.Cli;

/// <summary>Turns SIGTERM and SIGINT (Ctrl-C) into cancellation for commands that support it; other commands end at
/// once.</summary>
/// <remarks>A launcher may signal twice: srun signals again once another rank has ended. Between the end of a command
/// and that of the process, a second signal would replace the exit code, so the handlers stay registered until the
/// process ends.</remarks>
internal sealed class StopSignals : IDisposable
{
    // Writing a checkpoint of a large model takes minutes.
    private static readonly TimeSpan TimeToStop = TimeSpan.FromMinutes(30);

    private readonly CancellationTokenSource stop = new();
    private readonly PosixSignalRegistration[] listening;
    private volatile bool enabled;

    public StopSignals() =>
        listening = [
            .. ((PosixSignal[])[PosixSignal.SIGTERM, PosixSignal.SIGINT]).Select(signal =>
                PosixSignalRegistration.Create(signal, Hear)
            ),
        ];

    /// <summary>Cancelled on the first signal.</summary>
    public CancellationToken Token => stop.Token;

    /// <summary>From now on, signals only request cancellation, and the command stops by itself.</summary>
    public void Enable() => enabled = true;

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
        if (!enabled)
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
