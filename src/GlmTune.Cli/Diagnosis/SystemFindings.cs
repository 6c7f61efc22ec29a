using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using GlmTune.Collectives;
using GlmTune.Files;
using GlmTune.Hub.Caches;

namespace GlmTune.Cli.Diagnosis;

/// <summary>The system, its memory, folders and launcher, without libtorch.</summary>
internal static class SystemFindings
{
    private const long GiB = 1L << 30;

    /// <summary>Looks at all of them.</summary>
    public static IEnumerable<Finding> All() =>
        [
            Finding.Ok("glmtune", Version),
            Finding.Ok(".NET", RuntimeInformation.FrameworkDescription),
            System(),
            Finding.Ok("CPU", Processor()),
            Memory(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes),
            Launched(),
            Folder("cache folder", CacheFolder.Current.Location, "Set XDG_CACHE_HOME to a writable folder."),
            Folder(
                "model cache",
                HubCache.FromEnvironment().Folders is [var first, ..] ? first : null,
                "Set HF_HOME to a folder with room for models (GLM-4-9B takes 18.8 GB)."
            ),
            Disk(Environment.CurrentDirectory),
        ];

    /// <summary>Version and commit of the program.</summary>
    private static string Version =>
        typeof(SystemFindings)
            .Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!
            .InformationalVersion;

    /// <summary>How much memory there is, as a finding.</summary>
    internal static Finding Memory(long bytes) =>
        bytes >= 8 * GiB
            ? Finding.Ok("memory", WriteProbe.Size(bytes))
            : Finding.Warning(
                "memory",
                WriteProbe.Size(bytes),
                "The sample model runs in it; a 9B model needs 20 GB or more. Run `glmtune plan` for a recipe."
            );

    /// <summary>Whether a folder can be written, and the room on its disk.</summary>
    internal static Finding Folder(string name, string? folder, string advice) =>
        folder is null ? Finding.Warning(name, "no home folder is known", advice)
        : WriteProbe.FindProblem(folder) is { } problem ? Finding.Warning(name, problem, advice)
        : Finding.Ok(name, $"{folder}, {Free(folder)}");

    private static Finding System()
    {
        var found = $"{RuntimeInformation.OSDescription}, {RuntimeInformation.RuntimeIdentifier}";
        var supported =
            (OperatingSystem.IsLinux() || OperatingSystem.IsWindows())
                ? RuntimeInformation.ProcessArchitecture == Architecture.X64
                : OperatingSystem.IsMacOS() && RuntimeInformation.ProcessArchitecture == Architecture.Arm64;
        return supported
            ? Finding.Ok("system", found)
            : Finding.Error("system", found, "Supported are Linux x64, Windows x64 and macOS arm64.");
    }

    private static string Processor()
    {
        var name = ProcFile.Value("/proc/cpuinfo", "model name");
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{(name is null ? "" : $"{name}, ")}{Environment.ProcessorCount} cores"
        );
    }

    private static Finding Launched()
    {
        try
        {
            var found = Rendezvous.FromEnvironment();
            var text =
                found.Launcher == Launcher.None
                    ? "none: this process runs alone"
                    : string.Create(
                        CultureInfo.InvariantCulture,
                        $"{found.Launcher}: rank {found.Rank} of {found.WorldSize}, local rank {found.LocalRank}"
                    );
            return found.Warning is { } warning
                ? Finding.Warning("launcher", text, warning)
                : Finding.Ok("launcher", text);
        }
        catch (InvalidDataException error)
        {
            return Finding.Error("launcher", error.Message, "Correct or unset these environment variables.");
        }
    }

    private static Finding Disk(string folder)
    {
        var drive = new DriveInfo(folder);
        return drive.AvailableFreeSpace >= 10 * GiB
            ? Finding.Ok("disk", $"{folder}, {Free(folder)}")
            : Finding.Warning(
                "disk",
                $"{folder}, {Free(folder)}",
                "A checkpoint of a 9B model takes up to 130 GB, a LoRA adapter some MB. Choose an output_dir with room."
            );
    }

    private static string Free(string folder)
    {
        var existing = Path.GetFullPath(folder);
        while (!Directory.Exists(existing) && Path.GetDirectoryName(existing) is { } parent)
        {
            existing = parent;
        }

        return $"{WriteProbe.Size(new DriveInfo(existing).AvailableFreeSpace)} free";
    }
}
