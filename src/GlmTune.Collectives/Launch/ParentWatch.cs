using GlmTune.Collectives.Native;

namespace GlmTune.Collectives;

/// <summary>Ends a rank whose launcher has been killed, so that no rank stays behind and occupies a GPU.</summary>
internal static class ParentWatch
{
    private const int SignalTerminate = 15;
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(60);
    private static int started;

    /// <summary>Watches the process that <see cref="LocalLauncher"/> identifies as itself; does nothing under other
    /// launchers.</summary>
    public static void StartIfLaunched()
    {
        if (
            OperatingSystem.IsWindows()
            || !int.TryParse(Environment.GetEnvironmentVariable(LocalLauncher.ParentVariable), out var launcher)
            || Interlocked.Exchange(ref started, 1) == 1
        )
        {
            return;
        }

        new Thread(() => Watch(launcher)) { IsBackground = true, Name = "parent watch" }.Start();
    }

    private static void Watch(int launcher)
    {
        while (HostProcess.Exists(launcher))
        {
            Thread.Sleep(Period);
        }

        Console.Error.WriteLine($"The launcher (process {launcher}) has ended; ending this rank too.");
        HostProcess.Signal(Environment.ProcessId, SignalTerminate);
        Thread.Sleep(Grace);
        HostProcess.ExitNow(128 + SignalTerminate);
    }
}
