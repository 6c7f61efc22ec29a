using System.Runtime.InteropServices;
using GlmTune.Collectives;
using GlmTune.Collectives.Native;

namespace GlmTune.Cli;

/// <summary>Turns signals that ask a process to end into cancellation for commands that support it; other commands end
/// at once.</summary>
/// <remarks>
/// These are SIGTERM, SIGINT (Ctrl-C), SIGHUP (the terminal was closed), SIGQUIT, SIGUSR1 (a scheduler's warning), and
/// SIGXCPU and SIGXFSZ (a limit was reached). A signal that was ignored when the process started, such as SIGHUP under
/// nohup, stays ignored. A second SIGINT ends the process at once.
/// A launcher may signal twice: srun signals again once another rank has ended. Between the end of a command and that
/// of the process, a second signal would replace the exit code, so the handlers stay registered until the process ends.
/// </remarks>
internal sealed class StopSignals : IDisposable
{
    private const int Hangup = 1;
    private const int Quit = 3;
    private const int CpuLimit = 24;
    private const int FileSizeLimit = 25;

    // Writing a checkpoint of a large model takes minutes.
    private static readonly TimeSpan TimeToStop = TimeSpan.FromMinutes(30);

    // One press of Ctrl-C may arrive twice: from the terminal, and from a launcher that passes it on.
    private static readonly TimeSpan OnePress = TimeSpan.FromMilliseconds(500);

    private readonly CancellationTokenSource stop = new();
    private readonly List<PosixSignalRegistration> listening;
    private readonly TimeProvider clock;
    private readonly Action<int> end;
    private readonly bool isRank;
    private long? interrupted;
    private volatile bool enabled;

    public StopSignals()
        : this(TimeProvider.System, HostProcess.ExitNow, Rendezvous.FromEnvironment().WorldSize > 1) { }

    /// <summary>Handlers with their own clock and end.</summary>
    /// <param name="clock">Measures the time between two SIGINTs.</param>
    /// <param name="end">Ends the process at once, with an exit code.</param>
    /// <param name="isRank">Whether this process is one of several ranks; their launcher decides when to end them at
    /// once.</param>
    internal StopSignals(TimeProvider clock, Action<int> end, bool isRank)
    {
        (this.clock, this.end, this.isRank) = (clock, end, isRank);
        listening = [.. ((PosixSignal[])[PosixSignal.SIGTERM, PosixSignal.SIGINT]).Select(Listen)];
    }

    /// <summary>Cancelled on the first signal.</summary>
    public CancellationToken Token => stop.Token;

    /// <summary>Numbers of the signals that are heeded in addition to SIGTERM and SIGINT, if they were not ignored when
    /// the process started.</summary>
    private static IEnumerable<(PosixSignal Signal, int Number)> Others =>
        OperatingSystem.IsWindows()
            ? []
            :
            [
                (PosixSignal.SIGHUP, Hangup),
                (PosixSignal.SIGQUIT, Quit),
                .. ((int[])[OperatingSystem.IsMacOS() ? 30 : 10, CpuLimit, FileSizeLimit]).Select(number =>
                    ((PosixSignal)number, number)
                ),
            ];

    /// <summary>From now on, signals only request cancellation, and the command stops by itself.</summary>
    public void Enable()
    {
        if (enabled)
        {
            return;
        }

        enabled = true;
        listening.AddRange(
            Others.Where(other => !IgnoredSignals.Contain(other.Number)).Select(other => Listen(other.Signal))
        );
    }

    public void Dispose()
    {
        foreach (var registration in listening)
        {
            registration.Dispose();
        }

        stop.Dispose();
    }

    /// <summary>Handles one signal.</summary>
    internal void Hear(PosixSignalContext signal)
    {
        if (!enabled)
        {
            return;
        }

        signal.Cancel = true;
        if (signal.Signal == PosixSignal.SIGINT && AnswerInterrupt.TryStop())
        {
            return;
        }

        if (signal.Signal == PosixSignal.SIGINT && !isRank)
        {
            if (interrupted is { } first && clock.GetElapsedTime(first) > OnePress)
            {
                end(ExitCode.Stopped);
                return;
            }

            interrupted ??= clock.GetTimestamp();
        }

        if (!stop.IsCancellationRequested)
        {
            stop.Cancel();
            _ = Task.Delay(TimeToStop).ContinueWith(_ => Environment.Exit(ExitCode.Stopped), TaskScheduler.Default);
        }
    }

    private PosixSignalRegistration Listen(PosixSignal signal) => PosixSignalRegistration.Create(signal, Hear);
}
