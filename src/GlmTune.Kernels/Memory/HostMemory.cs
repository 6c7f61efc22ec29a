using System.Globalization;
using GlmTune.Files;

namespace GlmTune.Kernels.Memory;

/// <summary>Memory of this machine.</summary>
internal static class HostMemory
{
    /// <summary>Bytes that this process may use, the limit of its container considered.</summary>
    public static long Total => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <summary>Bytes that it may use in addition: those that are free or hold cached files, and not more than the
    /// limit leaves.</summary>
    public static long Available => Math.Max(0, Math.Min(FreeOfMachine() ?? Total, Total - Environment.WorkingSet));

    // Linux only: https://docs.kernel.org/filesystems/proc.html, meminfo.
    private static long? FreeOfMachine() =>
        ProcFile.Value("/proc/meminfo", "MemAvailable")?.Split(' ') is [var kibibytes, "kB"]
        && long.TryParse(kibibytes, NumberStyles.None, CultureInfo.InvariantCulture, out var count)
            ? count << 10
            : null;
}
