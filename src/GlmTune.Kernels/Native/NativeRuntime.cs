using System.Reflection;
using System.Runtime.InteropServices;
using GlmTune.Files;
using TorchSharp;

namespace GlmTune.Kernels.Native;

/// <summary>Finds and loads libtorch before any tensor exists, and reports what was found.</summary>
/// <remarks>Places: what the environment variable <c>GLMTUNE_LIBTORCH</c> names, alone if it is set; otherwise beside
/// the program, what <c>glmtune setup libtorch</c> has fetched, and PyTorch installations. Each is checked before it is
/// loaded. With an NVIDIA driver, those with CUDA are preferred; then the one beside the program, then the newest.
/// Call <see cref="Load"/> before the first use of TorchSharp. Thread-safe; the first call determines the library for
/// the process.</remarks>
internal static class NativeRuntime
{
    // The version that TorchSharp is built for.
    internal const string PackageVersion = "2.10.0";
    private static readonly Lock Gate = new();
    private static LoadedRuntime? loaded;

    /// <summary>Folder of what <c>glmtune setup libtorch</c> has fetched; null if the user has no place for a
    /// cache.</summary>
    public static string? FetchedFolder =>
        CacheFolder.Current.Location is { } cache ? Path.Combine(cache, "libtorch") : null;

    /// <summary>Whether an NVIDIA driver is present.</summary>
    public static bool HasDriver =>
        NativeLibrary.TryLoad(OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1", out _);

    /// <summary>Loads the libraries once and returns what was loaded.</summary>
    /// <exception cref="DllNotFoundException">No usable libtorch was found; the message lists the locations
    /// searched.</exception>
    public static LoadedRuntime Load()
    {
        lock (Gate)
        {
            return loaded ??= LoadFirst();
        }
    }

    /// <summary>The device to compute on: the first working GPU, or the CPU.</summary>
    public static torch.Device DefaultDevice() =>
        Load().Cuda && torch.cuda.is_available() ? torch.device(DeviceType.CUDA, 0) : torch.CPU;

    /// <summary>Every place with libtorch in the order of preference, with the reason why it cannot be used, or null;
    /// nothing is loaded.</summary>
    public static IReadOnlyList<(LibtorchPlace Place, string? Problem)> Survey()
    {
        var (bridge, driver) = (Beside(LibtorchCheck.FileOf(BridgeName)), HasDriver);
        return
        [
            .. Search(driver)
                .Places()
                .Select(place =>
                    (place, LibtorchCheck.FindProblem(place.Folder, place.Version, bridge, needsCuda: driver))
                ),
        ];
    }

    private static string CpuPackage =>
        OperatingSystem.IsWindows() ? "libtorch-cpu-win-x64"
        : OperatingSystem.IsMacOS() ? "libtorch-cpu-osx-arm64"
        : "libtorch-cpu-linux-x64";

    private static string BridgeName => "LibTorchSharp";

    private static LibtorchSearch Search(bool driver) =>
        new(
            Environment.GetEnvironmentVariable,
            Beside(LibtorchCheck.FileOf("torch_cpu")) is { } file ? [Path.GetDirectoryName(file)!] : [],
            FetchedFolder,
            driver
        );

    private static LoadedRuntime LoadFirst()
    {
        var bridge =
            Beside(LibtorchCheck.FileOf(BridgeName))
            ?? throw new DllNotFoundException(
                $"{LibtorchCheck.FileOf(BridgeName)} is missing next to the application, or this platform "
                    + $"({RuntimeInformation.RuntimeIdentifier}) has none. Supported are Linux x64, Windows x64 and "
                    + "macOS arm64."
            );
        var driver = HasDriver;
        var places = Search(driver).Places();
        var reasons = new List<string>();
        // A second round takes a CUDA build whose libraries for CUDA cannot be used, for the CPU.
        foreach (var needsCuda in driver && places.Any(place => place.HasCuda) ? (bool[])[true, false] : [false])
        {
            foreach (var place in places)
            {
                if (TryLoad(place, bridge, needsCuda, reasons) is { } runtime)
                {
                    return runtime;
                }
            }
        }

        var found = reasons.Count == 0 ? "Nothing was found." : $"Found: {string.Join("; ", reasons)}.";
        throw new DllNotFoundException(
            $"No usable libtorch. {found} Run `glmtune setup libtorch` to fetch one, or set "
                + $"{LibtorchSearch.Variable} to an environment with PyTorch 2.10 or newer, or to its torch/lib "
                + "folder. "
                + $"In a C# project, add the package {CpuPackage} {PackageVersion}."
        );
    }

    // Null if it cannot be used; the reason is then added to the others.
    private static LoadedRuntime? TryLoad(LibtorchPlace place, string bridge, bool needsCuda, List<string> reasons)
    {
        var cuda = false;
        var reason =
            LibtorchCheck.FindProblem(place.Folder, place.Version, bridge, needsCuda)
            ?? LoadLibraries(place, needsCuda, out cuda);
        if (reason is not null)
        {
            var text = $"{place.Folder} ({place.Origin}) {reason}";
            if (!reasons.Contains(text))
            {
                reasons.Add(text);
            }

            return null;
        }

        var patched = false;
        if (!LoadsByItself(place))
        {
            patched = LoadBridge(bridge);
            KeepFromLoadingASecondCopy();
        }

        // CUDA libraries can be present although no GPU is visible.
        cuda = cuda && torch.TryInitializeDeviceType(DeviceType.CUDA);
        if (!cuda)
        {
            torch.InitializeDeviceType(DeviceType.CPU);
        }

        return new LoadedRuntime(place.Folder, cuda, patched, reasons)
        {
            Origin = place.Origin,
            Version = Release(place.Folder),
        };
    }

    // Elsewhere than on Linux, TorchSharp's own loader takes what is beside the program.
    private static bool LoadsByItself(LibtorchPlace place) =>
        !OperatingSystem.IsLinux() && place.Origin == LibtorchSearch.BesideTheProgram;

    // The release that is running, which no file has to tell.
    private static unsafe string Release(string folder)
    {
        var name = Path.Combine(folder, LibtorchCheck.FileOf("torch_cpu"));
        if (
            !NativeLibrary.TryLoad(name, out var library)
            || !NativeLibrary.TryGetExport(library, "aoti_torch_abi_version", out var address)
        )
        {
            return "";
        }

        var encoded = ((delegate* unmanaged<ulong>)address)();
        return $"{encoded >> 56}.{encoded >> 48 & 255}.{encoded >> 40 & 255}";
    }

    // Null, or why this libtorch cannot be loaded; in that case none of it stays loaded.
    private static string? LoadLibraries(LibtorchPlace place, bool needsCuda, out bool cuda)
    {
        cuda = place.HasCuda;
        if (LoadsByItself(place))
        {
            return null;
        }

        var opened = new List<nint>();
        string? TryAll(IEnumerable<string> names)
        {
            foreach (var name in names)
            {
                try
                {
                    opened.Add(NativeLibrary.Load(Path.Combine(place.Folder, name)));
                }
                catch (Exception error) when (error is DllNotFoundException or BadImageFormatException)
                {
                    return $"does not load: {error.Message.Split('\n')[0]}";
                }
            }

            return null;
        }

        var problem = place.HasCuda ? TryAll(LibtorchCheck.CudaLibraries) : null;
        cuda = place.HasCuda && problem is null;
        if (cuda || !needsCuda || !place.HasCuda)
        {
            problem = TryAll(LibtorchCheck.Libraries);
        }

        if (problem is not null)
        {
            opened.ForEach(NativeLibrary.Free);
        }

        return problem;
    }

    private static string? Beside(string name)
    {
        var folders = (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "").Split(
            Path.PathSeparator,
            StringSplitOptions.RemoveEmptyEntries
        );
        return folders
            .Append(AppContext.BaseDirectory)
            .Select(folder => Path.GetFullPath(Path.Combine(folder, name)))
            .FirstOrDefault(File.Exists);
    }

    // TorchSharp's bridge requires a libstdc++ version newer than those of Debian 12 and Ubuntu 22.04, for one symbol
    // that is never called.
    private static bool LoadBridge(string bridge)
    {
        try
        {
            NativeLibrary.Load(bridge);
            return false;
        }
        catch (DllNotFoundException error)
            when (error.Message.Contains(PatchedTorchSharpLibrary.Version, StringComparison.Ordinal))
        {
            NativeLibrary.Load(PatchedTorchSharpLibrary.Of(bridge));
            return true;
        }
    }

    // TorchSharp loads "torch_cpu" by name when it first uses the CPU; with CPU libraries beside the program while
    // PyTorch's are loaded, a second libtorch would enter the process and abort it. The library it needs is already
    // loaded, so tell it so.
    private static void KeepFromLoadingASecondCopy()
    {
        var field =
            typeof(torch).GetField("nativeBackendLoaded", BindingFlags.NonPublic | BindingFlags.Static)
            ?? throw new MissingFieldException("TorchSharp.torch", "nativeBackendLoaded");
        field.SetValue(null, true);
    }
}

/// <summary>The libtorch used by this process.</summary>
/// <param name="Folder">Folder of its libraries.</param>
/// <param name="Cuda">Whether they include CUDA.</param>
/// <param name="Patched">Whether TorchSharp's bridge is the patched copy that older libstdc++ versions need.</param>
/// <param name="PassedOver">Installations that were preferred but cannot be used, each with the reason.</param>
internal sealed record LoadedRuntime(string Folder, bool Cuda, bool Patched, IReadOnlyList<string> PassedOver)
{
    /// <summary>How the folder was found, such as <c>beside the program</c>.</summary>
    public string Origin { get; init; } = "";

    /// <summary>Its release, such as 2.10.0; empty if it does not say.</summary>
    public string Version { get; init; } = "";
}
