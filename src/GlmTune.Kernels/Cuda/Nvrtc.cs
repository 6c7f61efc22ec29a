using System.Runtime.InteropServices;
using System.Text;
using GlmTune.Files;
using GlmTune.Kernels.Native;

namespace GlmTune.Kernels.Cuda;

/// <summary>NVIDIA's run-time compiler, from a PyTorch installation, the CUDA toolkit or beside the program. Source:
/// NVRTC's documentation.</summary>
internal sealed unsafe class Nvrtc
{
    private static readonly Lock Gate = new();
    private static Nvrtc? loaded;

    private readonly delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, int> createProgram;
    private readonly delegate* unmanaged<nint, int, byte**, int> compileProgram;
    private readonly delegate* unmanaged<nint, nuint*, int> getLogSize;
    private readonly delegate* unmanaged<nint, byte*, int> getLog;
    private readonly delegate* unmanaged<nint, nuint*, int> getCodeSize;
    private readonly delegate* unmanaged<nint, byte*, int> getCode;
    private readonly delegate* unmanaged<nint*, int> destroyProgram;

    private Nvrtc(nint library, string path)
    {
        Path = path;
        createProgram = (delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, int>)
            NativeLibrary.GetExport(library, "nvrtcCreateProgram");
        compileProgram = (delegate* unmanaged<nint, int, byte**, int>)
            NativeLibrary.GetExport(library, "nvrtcCompileProgram");
        getLogSize = (delegate* unmanaged<nint, nuint*, int>)NativeLibrary.GetExport(library, "nvrtcGetProgramLogSize");
        getLog = (delegate* unmanaged<nint, byte*, int>)NativeLibrary.GetExport(library, "nvrtcGetProgramLog");
        getCodeSize = (delegate* unmanaged<nint, nuint*, int>)NativeLibrary.GetExport(library, "nvrtcGetCUBINSize");
        getCode = (delegate* unmanaged<nint, byte*, int>)NativeLibrary.GetExport(library, "nvrtcGetCUBIN");
        destroyProgram = (delegate* unmanaged<nint*, int>)NativeLibrary.GetExport(library, "nvrtcDestroyProgram");
        int major,
            minor;
        _ = ((delegate* unmanaged<int*, int*, int>)NativeLibrary.GetExport(library, "nvrtcVersion"))(&major, &minor);
        Version = $"{major}.{minor}";
    }

    /// <summary>Path of the loaded library.</summary>
    public string Path { get; }

    /// <summary>Its version, such as 13.0.</summary>
    public string Version { get; }

    /// <summary>Loads the compiler once; null, with the locations searched, if there is none.</summary>
    public static Nvrtc? TryLoad(out string looked)
    {
        lock (Gate)
        {
            var folders = Folders().Distinct().ToArray();
            looked = string.Join(", ", folders);
            return loaded ??=
                folders.SelectMany(LibrariesIn).Select(TryOpen).FirstOrDefault(found => found is not null)
                ?? (
                    NativeLibrary.TryLoad(
                        OperatingSystem.IsWindows() ? "nvrtc64_120_0.dll" : "libnvrtc.so",
                        out var library
                    )
                        ? new Nvrtc(library, "libnvrtc")
                        : null
                );
        }
    }

    /// <summary>Machine code for an architecture, such as <c>sm_90</c>.</summary>
    /// <exception cref="CudaException">The source does not compile; the message contains the compiler's
    /// log.</exception>
    public byte[] Compile(string source, string name, string architecture, ReadOnlySpan<string> macros)
    {
        nint program;
        fixed (
            byte* text = Encoding.UTF8.GetBytes(source + '\0'),
                label = Encoding.UTF8.GetBytes(name + ".cu\0")
        )
        {
            Check(createProgram(&program, text, label, 0, null, null), "create a program");
        }

        try
        {
            // Lambdas that take lambdas count as host functions otherwise.
            string[] options =
            [
                $"--gpu-architecture={architecture}",
                "--std=c++17",
                "--device-as-default-execution-space",
                .. macros,
            ];
            var pointers = Array.ConvertAll(options, Marshal.StringToCoTaskMemUTF8);
            int code;
            fixed (nint* first = pointers)
            {
                code = compileProgram(program, options.Length, (byte**)first);
            }

            Array.ForEach(pointers, Marshal.FreeCoTaskMem);
            if (code != 0)
            {
                throw new CudaException(
                    $"The kernels of '{name}' do not compile for {architecture} ({string.Join(' ', macros!)}): "
                        + $"{Log(program)}"
                );
            }

            nuint size;
            Check(getCodeSize(program, &size), "read the code's size");
            var bytes = new byte[size];
            fixed (byte* pointer = bytes)
            {
                Check(getCode(program, pointer), "read the code");
            }

            return bytes;
        }
        finally
        {
            _ = destroyProgram(&program);
        }
    }

    private string Log(nint program)
    {
        nuint size;
        if (getLogSize(program, &size) != 0 || size == 0)
        {
            return "no log";
        }

        var bytes = new byte[size];
        fixed (byte* pointer = bytes)
        {
            _ = getLog(program, pointer);
        }

        return Encoding.UTF8.GetString(bytes).TrimEnd('\0', '\n');
    }

    private static void Check(int code, string action)
    {
        if (code != 0)
        {
            throw new CudaException($"NVRTC could not {action} (error {code}).");
        }
    }

    private static IEnumerable<string> Folders()
    {
        var torch = NativeRuntime.Load().Folder;
        var site = System.IO.Path.GetFullPath(System.IO.Path.Combine(torch, "..", ".."));
        yield return torch;
        yield return System.IO.Path.Combine(site, "nvidia", "cu13", "lib");
        yield return System.IO.Path.Combine(site, "nvidia", "cuda_nvrtc", "lib");
        yield return System.IO.Path.Combine(site, "nvidia", "cuda_nvrtc", "bin");
        yield return AppContext.BaseDirectory;
        foreach (var variable in (string[])["CUDA_HOME", "CUDA_PATH"])
        {
            if (HomePath.OfVariable(variable) is { } toolkit)
            {
                yield return System.IO.Path.Combine(toolkit, OperatingSystem.IsWindows() ? "bin" : "lib64");
            }
        }

        if (Directory.Exists("/usr/local"))
        {
            foreach (var toolkit in Directory.EnumerateDirectories("/usr/local", "cuda*").Order(StringComparer.Ordinal))
            {
                yield return System.IO.Path.Combine(toolkit, "lib64");
            }
        }
    }

    private static IEnumerable<string> LibrariesIn(string folder)
    {
        if (!Directory.Exists(folder))
        {
            return [];
        }

        return Directory
            .EnumerateFiles(folder, OperatingSystem.IsWindows() ? "nvrtc64_*.dll" : "libnvrtc*.so*")
            .Where(file =>
                !file.Contains("builtins", StringComparison.Ordinal)
                && !file.Contains(".alt.", StringComparison.Ordinal)
            )
            .OrderBy(file => file.Length)
            .ThenBy(file => file, StringComparer.Ordinal);
    }

    private static Nvrtc? TryOpen(string path)
    {
        // The compiler opens its built-in functions by bare file name, which works if they are already loaded.
        var folder = System.IO.Path.GetDirectoryName(path)!;
        foreach (
            var builtins in Directory.EnumerateFiles(
                folder,
                OperatingSystem.IsWindows() ? "nvrtc-builtins64_*.dll" : "libnvrtc-builtins*.so*"
            )
        )
        {
            _ = NativeLibrary.TryLoad(builtins, out _);
        }

        return NativeLibrary.TryLoad(path, out var library) ? new Nvrtc(library, path) : null;
    }
}
