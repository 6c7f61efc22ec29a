using System.Runtime.InteropServices;

namespace GlmTune.Collectives.Native;

/// <summary>C library functions that .NET has no counterpart for.</summary>
internal static partial class HostProcess
{
    private const string Libc = "libc";

    /// <summary>Ends the process immediately, without finalizers, which could wait for a rank that no longer
    /// exists.</summary>
    public static void ExitNow(int code)
    {
        if (OperatingSystem.IsWindows())
        {
            Environment.Exit(code);
        }

        UnderscoreExit(code);
    }

    /// <summary>Lets other threads run for some tens of microseconds.</summary>
    public static void ShortSleep()
    {
        if (OperatingSystem.IsWindows())
        {
            Thread.Sleep(1);
        }
        else
        {
            _ = MicroSleep(20);
        }
    }

    /// <summary>Sets an environment variable where native libraries see it; on Unix, .NET keeps its own copy of the
    /// environment.</summary>
    public static void SetVariable(string name, string value)
    {
        Environment.SetEnvironmentVariable(name, value);
        if (!OperatingSystem.IsWindows())
        {
            _ = SetNativeVariable(name, value, 1);
        }
    }

    /// <summary>Sends a signal to a process.</summary>
    /// <returns>Whether there is such a process.</returns>
    public static bool Signal(int process, int signal) => Kill(process, signal) == 0;

    /// <summary>Whether a process with this id exists.</summary>
    public static bool Exists(int process) => Kill(process, 0) == 0;

    /// <summary>Gives this process a session of its own, so that no terminal ends it. Does nothing on
    /// Windows.</summary>
    public static void LeaveSession()
    {
        if (!OperatingSystem.IsWindows())
        {
            _ = NewSession();
        }
    }

    /// <summary>Whether the user is root.</summary>
    public static bool IsRoot() => !OperatingSystem.IsWindows() && EffectiveUser() == 0;

    /// <summary>Whether the terminal itself sends its signals to this process and its children.</summary>
    public static bool IsTerminalForeground()
    {
        var terminal = Open("/dev/tty", 0);
        if (terminal < 0)
        {
            return false;
        }

        var foreground = ForegroundGroup(terminal);
        _ = Close(terminal);
        return foreground == ProcessGroup();
    }

    [LibraryImport(Libc, EntryPoint = "_exit")]
    private static partial void UnderscoreExit(int code);

    [LibraryImport(Libc, EntryPoint = "usleep")]
    private static partial int MicroSleep(uint microseconds);

    [LibraryImport(Libc, EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetNativeVariable(string name, string value, int overwrite);

    [LibraryImport(Libc, EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);

    [LibraryImport(Libc, EntryPoint = "geteuid")]
    private static partial uint EffectiveUser();

    [LibraryImport(Libc, EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport(Libc, EntryPoint = "setsid")]
    private static partial int NewSession();

    [LibraryImport(Libc, EntryPoint = "close")]
    private static partial int Close(int file);

    [LibraryImport(Libc, EntryPoint = "tcgetpgrp")]
    private static partial int ForegroundGroup(int terminal);

    [LibraryImport(Libc, EntryPoint = "getpgrp")]
    private static partial int ProcessGroup();
}
