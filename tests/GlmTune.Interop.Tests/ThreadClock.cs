using System.Runtime.InteropServices;

namespace GlmTune.Interop.Tests;

/// <summary>Processor time of the calling thread, which other programs on the machine hardly change; on
/// Linux.</summary>
internal static unsafe partial class ThreadClock
{
    private const int ThreadTime = 3; // CLOCK_THREAD_CPUTIME_ID

    /// <summary>Seconds since the thread began.</summary>
    public static double Seconds
    {
        get
        {
            var time = stackalloc long[2]; // seconds and nanoseconds
            return GetTime(ThreadTime, time) == 0
                ? time[0] + (time[1] / 1e9)
                : throw new PlatformNotSupportedException("This system has no clock of a thread's processor time.");
        }
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, long* time);
}
