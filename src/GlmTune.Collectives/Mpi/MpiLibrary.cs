using System.Runtime.InteropServices;
using GlmTune.Files;

namespace GlmTune.Collectives.Native;

/// <summary>The MPI library of this process, and the values of its handles.</summary>
/// <remarks>Handles of Open MPI are addresses of exported objects. Those of MPICH and compatible libraries (Intel MPI,
/// MVAPICH, Cray MPICH), which share a binary interface, are 32-bit constants, passed here in the lower half of a
/// 64-bit argument. Sources: the headers <c>mpi.h</c> of Open MPI 4.1 and of MPICH 4.0; MPICH ABI Compatibility
/// Initiative.</remarks>
internal sealed class MpiLibrary
{
    private const string Variable = "GLMTUNE_MPI";
    private static readonly Lazy<MpiLibrary> Loaded = new(() => Find());

    private MpiLibrary(string name, nint handle)
    {
        (Name, Handle) = (name, handle);
        IsOpenMpi = NativeLibrary.TryGetExport(handle, "ompi_mpi_comm_world", out var world);
        CommWorld = IsOpenMpi ? world : 0x44000000;
        TypeByte = IsOpenMpi ? NativeLibrary.GetExport(handle, "ompi_mpi_byte") : 0x4c00010d;
        ErrorsReturn = IsOpenMpi ? NativeLibrary.GetExport(handle, "ompi_mpi_errors_return") : 0x54000001;
        InPlace = IsOpenMpi ? 1 : -1;
        StatusIgnore = IsOpenMpi ? 0 : 1;
    }

    /// <summary>The library, loaded on first use.</summary>
    /// <exception cref="DllNotFoundException">No MPI library was found; the message says what to install.</exception>
    public static MpiLibrary Current => Loaded.Value;

    /// <summary>Whether there is a library to load.</summary>
    public static bool Exists => TryFind(Candidates(Environment.GetEnvironmentVariable), out _);

    public string Name { get; }

    public nint Handle { get; }

    public bool IsOpenMpi { get; }

    public nint CommWorld { get; }

    public nint TypeByte { get; }

    public nint ErrorsReturn { get; }

    public nint InPlace { get; }

    public nint StatusIgnore { get; }

    /// <summary>Names to try, starting with the launcher's own kind, because the other kind would not see the
    /// launcher's ranks.</summary>
    internal static string[] Candidates(Func<string, string?> variable)
    {
        if (variable(Variable) is { Length: > 0 } named)
        {
            return [HomePath.Expand(named)];
        }

        string[] openMpi = OperatingSystem.IsMacOS() ? ["libmpi.40.dylib"] : ["libmpi.so.40"];
        string[] mpich = OperatingSystem.IsMacOS() ? ["libmpi.12.dylib"] : ["libmpi.so.12", "libmpich.so.12"];
        string[] unnumbered = OperatingSystem.IsMacOS() ? ["libmpi.dylib"] : ["libmpi.so"];
        var hydra =
            variable("PMI_RANK") is not null
            && variable("OMPI_COMM_WORLD_RANK") is null
            && variable("PMIX_RANK") is null;
        return hydra ? [.. mpich, .. unnumbered, .. openMpi] : [.. openMpi, .. mpich, .. unnumbered];
    }

    private static MpiLibrary Find()
    {
        var candidates = Candidates(Environment.GetEnvironmentVariable);
        return TryFind(candidates, out var found)
            ? found!
            : throw new DllNotFoundException(
                $"MPI library not found; tried {string.Join(", ", candidates)}. Install Open MPI (Debian: "
                    + $"openmpi-bin) or MPICH, load your cluster's MPI module, or set {Variable} to the library "
                    + "file."
            );
    }

    private static bool TryFind(string[] candidates, out MpiLibrary? found)
    {
        foreach (var name in candidates)
        {
            if (NativeLibrary.TryLoad(name, out var handle))
            {
                found = new MpiLibrary(name, handle);
                return true;
            }
        }

        found = null;
        return false;
    }
}
