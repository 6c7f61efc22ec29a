using System.Runtime.InteropServices;
using GlmTune.Files;
using GlmTune.Kernels.Native;

namespace GlmTune.Collectives.Native;

/// <summary>The NCCL library of this process.</summary>
/// <remarks>Tried in order: the file named by <c>GLMTUNE_NCCL</c>; the library that a PyTorch installation keeps beside
/// the libtorch in use; a library that is already loaded, lies beside the program, or is known to the system's
/// loader.</remarks>
internal sealed class NcclLibrary
{
    private const string Variable = "GLMTUNE_NCCL";
    private const string FileName = "libnccl.so.2";
    private static readonly Lazy<NcclLibrary> Loaded = new(Find);

    private NcclLibrary(string name, nint handle) => (Name, Handle) = (name, handle);

    /// <summary>The library, loaded on first use.</summary>
    /// <exception cref="DllNotFoundException">NCCL was not found; the message says what to install.</exception>
    public static NcclLibrary Current => Loaded.Value;

    public string Name { get; }

    public nint Handle { get; }

    /// <summary>Names to try for a libtorch in <paramref name="torchFolder"/>.</summary>
    internal static IEnumerable<string> Candidates(string torchFolder, Func<string, string?> variable)
    {
        if (variable(Variable) is { Length: > 0 } named)
        {
            return [HomePath.Expand(named)];
        }
        // site-packages for .../site-packages/torch/lib
        var packages = Path.GetFullPath(Path.Combine(torchFolder, "..", ".."));
        return
        [
            Path.Combine(packages, "nvidia", "nccl", "lib", FileName),
            Path.Combine(torchFolder, FileName),
            FileName,
        ];
    }

    private static NcclLibrary Find()
    {
        var candidates = Candidates(NativeRuntime.Load().Folder, Environment.GetEnvironmentVariable).ToArray();
        foreach (var name in candidates)
        {
            if (NativeLibrary.TryLoad(name, out var handle))
            {
                return new NcclLibrary(name, handle);
            }
        }

        throw new DllNotFoundException(
            $"NCCL not found; tried {string.Join(", ", candidates)}. Install it (Debian and Ubuntu with "
                + $"NVIDIA's packages: libnccl2; CUDA builds of PyTorch include it), or set {Variable} to the "
                + "library file."
        );
    }
}
