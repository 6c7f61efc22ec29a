using System.Reflection;
using System.Runtime.InteropServices;
using GlmTune.Kernels.Native;

namespace GlmTune.Collectives.Native;

/// <summary>Resolves the libraries of this assembly's P/Invokes.</summary>
internal static class NativeLibraries
{
    public const string TorchCpu = "torch_cpu";
    public const string TorchCuda = "torch_cuda";
    public const string Mpi = "mpi";
    public const string Nccl = "nccl";
    public const string Cuda = "cuda";

    private static readonly Lazy<bool> Registration = new(() =>
    {
        NativeLibrary.SetDllImportResolver(typeof(NativeLibraries).Assembly, Resolve);
        return true;
    });

    /// <summary>Called by the static constructor of each class with P/Invokes.</summary>
    public static void Register() => _ = Registration.Value;

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path) =>
        name switch
        {
            TorchCpu or TorchCuda => NativeLibrary.Load(Path.Combine(NativeRuntime.Load().Folder, FileName(name))),
            Mpi => MpiLibrary.Current.Handle,
            Nccl => NcclLibrary.Current.Handle,
            Cuda => NativeLibrary.Load(OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1"),
            _ => 0,
        };

    private static string FileName(string name) =>
        OperatingSystem.IsWindows() ? $"{name}.dll"
        : OperatingSystem.IsMacOS() ? $"lib{name}.dylib"
        : $"lib{name}.so";
}
