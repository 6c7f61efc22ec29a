using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace GlmTune.Collectives;

/// <summary>Describes where the threads of this process are.</summary>
/// <remarks>A .NET process cannot see the managed stacks of its own threads. What the operating system says is printed
/// instead: name, state, processor time, and on Linux the function of the kernel that a thread sleeps in.</remarks>
internal static class ThreadStates
{
    private const string Tasks = "/proc/self/task";

    /// <summary>A line for each thread, after a title; the busiest first.</summary>
    public static string Describe()
    {
        using var process = Process.GetCurrentProcess();
        var text = new StringBuilder().AppendLine(
            CultureInfo.InvariantCulture,
            $"Threads of process {process.Id} on {Environment.MachineName}:"
        );
        foreach (
            var thread in process
                .Threads.Cast<ProcessThread>()
                .OrderByDescending(thread => Read(() => thread.TotalProcessorTime, TimeSpan.Zero))
        )
        {
            var folder = $"{Tasks}/{thread.Id}";
            var name = Read(() => File.ReadAllText($"{folder}/comm").Trim(), "");
            var state = Read(() => $"{thread.ThreadState}".ToLowerInvariant(), "ended");
            var place = Read(() => File.ReadAllText($"{folder}/wchan").Trim(), "");
            text.AppendLine(
                CultureInfo.InvariantCulture,
                $"  {thread.Id} {(name.Length > 0 ? name : "unnamed")}: {state}"
                    + $"{(place is "" or "0" ? "" : $" in {place}")}, "
                    + $"{Read(() => thread.TotalProcessorTime, TimeSpan.Zero).TotalSeconds:0.##} s of processor time"
            );
        }

        return text.ToString();
    }

    // A thread may end meanwhile, and not every system knows everything.
    private static T Read<T>(Func<T> read, T otherwise)
    {
        try
        {
            return read();
        }
        catch (Exception error)
            when (error
                    is IOException
                        or UnauthorizedAccessException
                        or InvalidOperationException
                        or PlatformNotSupportedException
                        or System.ComponentModel.Win32Exception
            )
        {
            return otherwise;
        }
    }
}
