using System.Reflection;
using System.Runtime.InteropServices;

namespace GlmTune.Collectives.Native;

/// <summary>Resolves the libraries of this assembly's P/Invokes.</summary>
internal static class NativeLibraries
{
    public const string Mpi = "mpi";
    public const string Nccl = "nccl";

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
            Mpi => MpiLibrary.Current.Handle,
            Nccl => NcclLibrary.Current.Handle,
            _ => 0,
        };
}
