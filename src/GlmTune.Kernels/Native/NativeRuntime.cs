using System.Reflection;
using System.Runtime.InteropServices;
using GlmTune.Files;
using TorchSharp;

namespace GlmTune.Kernels.Native;

/// <summary>Finds and loads libtorch before any tensor exists, and reports what was found.</summary>
/// <remarks>Search order: the folder named by <c>GLMTUNE_LIBTORCH</c>; CUDA libraries beside the program; if an NVIDIA
/// driver is present, the libraries of a PyTorch installation; the CPU libraries beside the program. Call
/// <see cref="Load"/> before the first use of TorchSharp. Thread-safe; the first call determines the library for the
/// process.</remarks>
internal static class NativeRuntime
{
    private const string Variable = "GLMTUNE_LIBTORCH";
    private static readonly Lock Gate = new();
    private static LoadedRuntime? loaded;

    /// <summary>Loads the libraries once and returns what was loaded.</summary>
    /// <exception cref="DllNotFoundException">No usable libtorch was found; the message lists the locations
    /// searched.</exception>
    public static LoadedRuntime Load()
    {
        lock (Gate)
        {
            return loaded ??= OperatingSystem.IsLinux() ? LoadOnLinux() : LoadElsewhere();
        }
    }

    /// <summary>The device to compute on: the first working GPU, or the CPU.</summary>
    public static torch.Device DefaultDevice() =>
        Load().Cuda && torch.cuda.is_available() ? torch.device(DeviceType.CUDA, 0) : torch.CPU;

    private static LoadedRuntime LoadElsewhere()
    {
        var cuda = torch.TryInitializeDeviceType(DeviceType.CUDA);
        if (!cuda)
        {
            torch.InitializeDeviceType(DeviceType.CPU);
        }

        return new LoadedRuntime(AppContext.BaseDirectory, cuda, Patched: false, []);
    }

    private static LoadedRuntime LoadOnLinux()
    {
        var bridge =
            BesideTheApp("libLibTorchSharp.so")
            ?? throw new DllNotFoundException(
                "libLibTorchSharp.so is missing next to the application. Restore and rebuild the TorchSharp "
                    + "package."
            );
        var named = HomePath.OfVariable(Variable);
        var (candidates, passedOver) = named is null ? Candidates() : PyTorchInstalls.Choose([named]);
        List<string> reasons = [.. passedOver];
        foreach (var folder in candidates)
        {
            if (TryLoad(folder, out var cuda) is { } reason)
            {
                reasons.Add($"{folder} {reason}");
                continue;
            }

            var patched = LoadBridge(bridge);
            KeepFromLoadingASecondCopy();
            // CUDA libraries can be present although no GPU is visible.
            cuda = cuda && torch.TryInitializeDeviceType(DeviceType.CUDA);
            if (!cuda)
            {
                torch.InitializeDeviceType(DeviceType.CPU);
            }

            return new LoadedRuntime(folder, cuda, patched, reasons);
        }

        var found = reasons.Count == 0 ? "Nothing was found." : $"Found: {string.Join("; ", reasons)}.";
        throw new DllNotFoundException(
            $"No usable libtorch. {found} Set {Variable} to a folder with libtorch_cpu.so of PyTorch 2.10 or newer, "
                + "for example .../site-packages/torch/lib."
        );
    }

    // Null, or why this libtorch cannot be used; in that case none of it stays loaded.
    private static string? TryLoad(string folder, out bool cuda)
    {
        cuda = false;
        if (!File.Exists(Path.Combine(folder, "libtorch_cpu.so")))
        {
            return "has no libtorch_cpu.so";
        }

        cuda =
            File.Exists(Path.Combine(folder, "libtorch_cuda.so"))
            && TryLoadAll(folder, "libc10_cuda.so", "libtorch_cuda.so");
        var loaded = new List<nint>();
        string? reason = null;
        foreach (var name in (string[])["libc10.so", "libtorch_cpu.so", "libtorch.so"])
        {
            try
            {
                loaded.Add(NativeLibrary.Load(Path.Combine(folder, name)));
            }
            catch (Exception error) when (error is DllNotFoundException or BadImageFormatException)
            {
                reason = $"does not load: {error.Message.Split('\n')[0]}";
                break;
            }
        }

        reason ??= NativeLibrary.TryGetExport(loaded[1], "torch_new_string_handle", out _)
            ? null
            : "is older than PyTorch 2.10";
        if (reason is not null)
        {
            loaded.ForEach(NativeLibrary.Free);
        }

        return reason;
    }

    private static (IReadOnlyList<string> Folders, IReadOnlyList<string> PassedOver) Candidates()
    {
        IEnumerable<string> beside = BesideTheApp("libtorch_cpu.so") is { } file ? [Path.GetDirectoryName(file)!] : [];
        var besideHasCuda = BesideTheApp("libtorch_cuda.so") is not null;
        var driver = NativeLibrary.TryLoad("libcuda.so.1", out _);
        var (fitting, passedOver) = PyTorchInstalls.Choose(PyTorchInstalls.Folders());
        return besideHasCuda || !driver ? ([.. beside, .. fitting], []) : ([.. fitting, .. beside], passedOver);
    }

    private static string? BesideTheApp(string name)
    {
        var folders = (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "").Split(
            ':',
            StringSplitOptions.RemoveEmptyEntries
        );
        return folders
            .Append(AppContext.BaseDirectory)
            .Select(folder => Path.Combine(folder, name))
            .FirstOrDefault(File.Exists);
    }

    private static bool TryLoadAll(string folder, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            if (!NativeLibrary.TryLoad(Path.Combine(folder, name), out _))
            {
                return false;
            }
        }

        return true;
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
internal sealed record LoadedRuntime(string Folder, bool Cuda, bool Patched, IReadOnlyList<string> PassedOver);
