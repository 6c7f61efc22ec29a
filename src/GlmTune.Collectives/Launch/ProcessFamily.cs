using System.Diagnostics;
using System.Runtime.InteropServices;
using GlmTune.Collectives.Native;

namespace GlmTune.Collectives;

/// <summary>Processes that run and end together.</summary>
/// <param name="log">Receives a line when a process fails.</param>
/// <param name="grace">How long the others may take to end by themselves.</param>
internal sealed class ProcessFamily(TextWriter log, TimeSpan grace) : IDisposable
{
    private const int SignalInterrupt = 2;
    private const int SignalKill = 9;
    private const int SignalTerminate = 15;

    // Exit code of a rank that stopped cleanly on request: not a failure.
    private const int Stopped = 128 + SignalInterrupt;

    // A session of their own keeps Ctrl-C at the terminal from reaching the ranks, and mpirun, which would give them
    // one second to end.
    private static readonly string? OwnSession = OperatingSystem.IsLinux() ? SearchPath.Find("setsid") : null;

    private static readonly (PosixSignal Signal, int Number)[] Forwarded = OperatingSystem.IsWindows()
        ? []
        :
        [
            (PosixSignal.SIGHUP, 1),
            (PosixSignal.SIGINT, SignalInterrupt),
            (PosixSignal.SIGTERM, SignalTerminate),
            ((PosixSignal)UserSignal1, UserSignal1),
            ((PosixSignal)UserSignal2, UserSignal2),
        ];

    private readonly List<Member> members = [];
    private readonly List<int> received = []; // signals to go on to every member, also to those that start later
    private readonly List<PosixSignalRegistration> registrations = [];

    private static int UserSignal1 => OperatingSystem.IsMacOS() ? 30 : 10;

    private static int UserSignal2 => OperatingSystem.IsMacOS() ? 31 : 12;

    /// <summary>Starts a process that shares the input and output of this one.</summary>
    /// <param name="name">Its name in the log.</param>
    /// <param name="command">The program and its arguments.</param>
    /// <param name="variables">Environment variables to add; null removes a variable.</param>
    /// <param name="starts">The program that it starts in turn, to which signals are sent instead; null: none.</param>
    /// <returns>The process, which this family disposes of.</returns>
    public Process Start(
        string name,
        IReadOnlyList<string> command,
        IReadOnlyDictionary<string, string?> variables,
        string? starts = null
    )
    {
        ListenOnce();
        var whole = OwnSession is null ? command : [OwnSession, .. command];
        var start = new ProcessStartInfo(whole[0], whole.Skip(1)) { UseShellExecute = false };
        foreach (var (key, value) in variables)
        {
            start.Environment[key] = value;
        }

        // A signal that comes while the process starts waits for the lock; one that came before is sent on now.
        lock (members)
        {
            var process = Process.Start(start) ?? throw new InvalidOperationException($"{command[0]} did not start.");
            var member = new Member(name, process, starts);
            members.Add(member);
            received.ForEach(number => Signal(member, number));
            return process;
        }
    }

    /// <summary>Waits until all have ended; if one fails, ends all of them.</summary>
    /// <returns>0, or the exit code of the first that failed.</returns>
    public int WaitForEnd()
    {
        var running = members.ConvertAll(Ended);
        using var allEnded = new CancellationTokenSource();
        var first = 0;
        while (running.Count > 0)
        {
            var ended = Task.WhenAny(running).GetAwaiter().GetResult();
            running.Remove(ended);
            var (name, process, _) = ended.Result;
            if (process.ExitCode == 0 || first != 0)
            {
                continue;
            }

            first = process.ExitCode;
            if (members.Count > 1 && first != Stopped)
            {
                log.WriteLine(
                    $"{name} (process {process.Id}) "
                        + $"{Describe(first)}{(running.Count > 0 ? "; ending the other ranks" : "")}."
                );
            }

            Signal(SignalTerminate);
            _ = KillLater(allEnded.Token);
        }

        allEnded.Cancel();
        return first;
    }

    /// <summary>Kills all processes that are still running.</summary>
    public void Dispose()
    {
        registrations.ForEach(registration => registration.Dispose());
        Signal(SignalKill);
        members.ForEach(member => member.Process.Dispose());
    }

    private static async Task<Member> Ended(Member member)
    {
        await member.Process.WaitForExitAsync();
        return member;
    }

    private static string Describe(int code) =>
        code switch
        {
            128 + 9 => "was killed (signal 9; the system sends it when memory runs out)",
            128 + 11 => "crashed (signal 11)",
            > 128 and < 128 + 65 => $"was ended by signal {code - 128}",
            _ => $"ended with exit code {code}",
        };

    private async Task KillLater(CancellationToken allEnded)
    {
        await Task.Delay(grace, allEnded);
        Signal(SignalKill);
    }

    private void Signal(int number)
    {
        Member[] running;
        lock (members)
        {
            running = [.. members.Where(member => !member.Process.HasExited)];
        }

        Array.ForEach(running, member => Signal(member, number));
    }

    private static void Signal(Member member, int number)
    {
        if (OperatingSystem.IsWindows())
        {
            member.Process.Kill();
            return;
        }

        var ranks = member.Starts is null ? [] : DescendantProcesses.Running(member.Starts, member.Process.Id);
        Array.ForEach(ranks, rank => HostProcess.Signal(rank, number));
        if (ranks.Length == 0 || number == SignalKill)
        {
            HostProcess.Signal(member.Process.Id, number);
        }
    }

    private void Forward(int number)
    {
        lock (members)
        {
            received.Add(number);
            Signal(number);
        }
    }

    // Without a session of their own, ranks get Ctrl-C directly; sending it again would tell them to hurry.
    private void ListenOnce()
    {
        if (registrations.Count > 0)
        {
            return;
        }

        foreach (var (signal, number) in Forwarded.Where(each => !IgnoredSignals.Contain(each.Number)))
        {
            registrations.Add(
                PosixSignalRegistration.Create(
                    signal,
                    context =>
                    {
                        context.Cancel = true;
                        if (number != SignalInterrupt || OwnSession is not null || !HostProcess.IsTerminalForeground())
                        {
                            Forward(number);
                        }
                    }
                )
            );
        }
    }

    private sealed record Member(string Name, Process Process, string? Starts);
}
