using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using GlmTune.Kernels.Cuda;

namespace GlmTune.Kernels.Tests.Emulation;

/// <summary>Runs the CUDA sources on the CPU: compiled by the C++ compiler of the machine, a block's threads as
/// coroutines.</summary>
internal sealed unsafe partial class EmulatedLauncher(int multiprocessors = 4) : IKernelLauncher
{
    private static readonly ConcurrentDictionary<KernelName, nint> Libraries = new();
    private static readonly Lock Gate = new();

    /// <summary>The compiler, or null where there is none.</summary>
    public static string? Compiler { get; } =
        ((string[])["g++", "clang++", "clang++-14"])
            .SelectMany(name =>
                (Environment.GetEnvironmentVariable("PATH") ?? "")
                    .Split(':')
                    .Select(folder => Path.Combine(folder, name))
            )
            .FirstOrDefault(File.Exists);

    public int Multiprocessors => multiprocessors;

    public void Launch(KernelName kernel, Grid grid, int threads, params ReadOnlySpan<KernelArgument> arguments)
    {
        var values = stackalloc ulong[arguments.Length];
        var pointers = stackalloc void*[arguments.Length];
        for (var i = 0; i < arguments.Length; i++)
        {
            values[i] = arguments[i].Bits;
            pointers[i] = values + i;
        }

        lock (Gate)
        {
            var library = Libraries.GetOrAdd(kernel with { Function = "" }, Build);
            var entry = (delegate* unmanaged<uint, uint, uint, uint, void**, void>)
                NativeLibrary.GetExport(library, $"emulate_{kernel.Function}");
            entry((uint)grid.X, (uint)grid.Y, (uint)grid.Z, (uint)threads, pointers);
        }
    }

    private static nint Build(KernelName kernel)
    {
        var entries = KernelPattern().Matches(kernel.Text).Select(match => $"EMULATE({match.Groups[1].Value})\n");
        var text = kernel.Text + string.Concat(entries);
        var header = Path.Combine(AppContext.BaseDirectory, "Emulation", "emulator.hpp");
        var key = Convert.ToHexStringLower(
            SHA256.HashData(Encoding.UTF8.GetBytes(text + File.ReadAllText(header) + string.Join(' ', kernel.Macros)))
        )[..24];
        var folder = Directory.CreateDirectory(Path.Combine(Path.GetTempPath(), "glmtune-emulation")).FullName;
        var library = Path.Combine(folder, $"{kernel.Source}-{key}.so");
        if (!File.Exists(library))
        {
            var aside = $"{library}.{Environment.ProcessId}";
            File.WriteAllText(aside + ".cpp", text);
            using var process = Process.Start(
                new ProcessStartInfo(
                    Compiler!,
                    [
                        "-std=c++20",
                        "-O2",
                        "-w",
                        "-shared",
                        "-fPIC",
                        "-fvisibility=hidden",
                        .. kernel.Macros,
                        "-include",
                        header,
                        aside + ".cpp",
                        "-o",
                        aside,
                    ]
                )
                {
                    RedirectStandardError = true,
                }
            )!;
            var errors = process.StandardError.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, errors);
            File.Move(aside, library, overwrite: true);
            File.Delete(aside + ".cpp");
        }

        return NativeLibrary.Load(library);
    }

    [GeneratedRegex(@"__global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(")]
    private static partial Regex KernelPattern();
}
