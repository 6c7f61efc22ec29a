using System.Globalization;
using System.Runtime.InteropServices;

namespace GlmTune.Kernels.Native;

/// <summary>Decides whether a folder's libtorch can be used, before any of it is loaded.</summary>
/// <remarks>A library of a wrong release can end the process or compute wrongly, and a part of it that was loaded may
/// stay in the process. So files, release, processor and functions are checked first. Functions are read from the
/// files on Linux; elsewhere the release decides.</remarks>
internal static class LibtorchCheck
{
    /// <summary>The oldest release that has all functions used here.</summary>
    public static readonly Version Oldest = new(2, 10);

    /// <summary>The functions of libtorch's C interface that <see cref="Dispatch.AtenShim"/> calls.</summary>
    internal static readonly string[] Functions =
    [
        "torch_call_dispatcher",
        "aoti_torch_new_tensor_handle",
        "aoti_torch_new_uninitialized_tensor",
        "torch_new_list_reserve_size",
        "torch_list_push_back",
        "torch_list_size",
        "torch_list_get_item",
        "torch_delete_list",
        "torch_new_string_handle",
        "aoti_torch_get_data_ptr",
        "aoti_torch_get_dtype",
        "aoti_torch_get_sizes",
        "aoti_torch_is_contiguous",
        "aoti_torch_empty_strided",
        "aoti_torch_create_tensor_from_blob",
    ];

    /// <summary>The libraries of libtorch for the CPU, in the order in which they are loaded.</summary>
    public static readonly string[] Libraries = [FileOf("c10"), FileOf("torch_cpu"), FileOf("torch")];

    /// <summary>The libraries that a CUDA build has besides.</summary>
    public static readonly string[] CudaLibraries = [FileOf("c10_cuda"), FileOf("torch_cuda")];

    /// <summary>File name of a library on this system.</summary>
    public static string FileOf(string name) =>
        OperatingSystem.IsWindows() ? $"{name}.dll"
        : OperatingSystem.IsMacOS() ? $"lib{name}.dylib"
        : $"lib{name}.so";

    /// <summary>Whether a folder has libtorch's libraries for CUDA.</summary>
    public static bool HasCuda(string folder) => CudaLibraries.All(name => File.Exists(Path.Combine(folder, name)));

    /// <summary>Why a folder's libtorch cannot be used, as the end of a sentence that begins with the folder; null if
    /// it can.</summary>
    /// <param name="folder">The folder with the libraries.</param>
    /// <param name="version">Its release, if known.</param>
    /// <param name="bridge">TorchSharp's library, which is built against one release.</param>
    /// <param name="needsCuda">Whether its libraries for CUDA, if there are any, must be complete.</param>
    public static string? FindProblem(string folder, Version? version, string? bridge, bool needsCuda)
    {
        if (!Directory.Exists(folder))
        {
            return "does not exist";
        }

        string[] missing = [.. Libraries.Where(name => !File.Exists(Path.Combine(folder, name)))];
        if (missing.Length > 0)
        {
            return $"has no {string.Join(", ", missing)}";
        }

        if (version is not null && version < Oldest)
        {
            return $"is PyTorch {version}; GlmTune needs {Oldest} or newer";
        }

        if (!OperatingSystem.IsLinux())
        {
            return null;
        }

        try
        {
            return FindElfProblem(folder, bridge) ?? (needsCuda && HasCuda(folder) ? FindMissing(folder) : null);
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return $"cannot be read: {error.Message}";
        }
    }

    private static string? FindElfProblem(string folder, string? bridge)
    {
        var opened = new List<ElfLibrary>();
        try
        {
            opened.AddRange(Libraries.Select(name => ElfLibrary.Open(Path.Combine(folder, name))));
            var machine = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 183 : 62;
            if (opened.Find(library => library.Machine != machine) is { } other)
            {
                return $"is for another processor (ELF machine {other.Machine}; this one is {machine})";
            }

            if (!opened.TrueForAll(library => library.HasTable))
            {
                return null; // Loading tells.
            }

            string[] missing =
            [
                .. Functions
                    .Concat(bridge is null ? [] : NamesNeededBy(bridge))
                    .Where(name => !opened.Exists(library => library.Exports(name))),
            ];
            return missing.Length == 0
                ? null
                : string.Create(
                    CultureInfo.InvariantCulture,
                    $"is of another release than GlmTune needs ({Oldest} or newer): {missing.Length} functions are "
                        + $"missing, such as {missing[0]}"
                );
        }
        finally
        {
            opened.ForEach(library => library.Dispose());
        }
    }

    private static List<string> NamesNeededBy(string bridge)
    {
        using var library = ElfLibrary.Open(bridge);
        return library.HasTable ? [.. library.Undefined().Where(IsOfTorch)] : [];
    }

    // Names in libtorch's namespaces, as the Itanium C++ ABI writes them: _ZN2at…, _ZNK3c10…, _ZTIN5torch….
    private static bool IsOfTorch(string name)
    {
        if (!name.StartsWith("_Z", StringComparison.Ordinal))
        {
            return false;
        }

        var rest = name.AsSpan(2);
        if (rest.Length > 2 && rest[0] == 'T' && rest[1] is 'V' or 'I' or 'S')
        {
            rest = rest[2..];
        }

        rest = rest.TrimStart("NKVR");
        return rest.StartsWith("2at")
            || rest.StartsWith("3c10")
            || rest.StartsWith("5torch")
            || rest.StartsWith("6caffe2");
    }

    // NVIDIA's libraries come in packages of their own, which may be absent or of another release.
    private static string? FindMissing(string folder)
    {
        var folders = new List<string> { folder };
        foreach (var name in CudaLibraries)
        {
            using var library = ElfLibrary.Open(Path.Combine(folder, name));
            folders.AddRange(
                library.RunPath.Select(path =>
                    Path.GetFullPath(
                        path.Replace("${ORIGIN}", "$ORIGIN", StringComparison.Ordinal)
                            .Replace("$ORIGIN", folder, StringComparison.Ordinal),
                        folder
                    )
                )
            );
            var lost = library.Needed.FirstOrDefault(needed =>
                !folders.Exists(each => File.Exists(Path.Combine(each, needed)))
                && IsOfNvidia(needed)
                && !NativeLibrary.TryLoad(needed, out _)
            );
            if (lost is not null)
            {
                return $"has a {name} that needs {lost}, which was not found; reinstall PyTorch with its CUDA packages";
            }
        }

        return null;
    }

    private static bool IsOfNvidia(string name) =>
        name.StartsWith("libcu", StringComparison.Ordinal)
        || name.StartsWith("libnv", StringComparison.Ordinal)
        || name.StartsWith("libnccl", StringComparison.Ordinal);
}
