using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using GlmTune.Files;

namespace GlmTune.Kernels.Cuda;

/// <summary>Compiles kernels on first use, caches the code on disk, and launches on libtorch's current stream of one
/// GPU. Thread-safe.</summary>
internal sealed unsafe class CudaLauncher : IKernelLauncher
{
    private readonly ConcurrentDictionary<KernelName, (nint Function, bool Overlaps)> functions = new();
    private readonly ConcurrentDictionary<KernelName, nint> modules = new();
    private readonly Lock gate = new();
    private readonly int index;
    private readonly Nvrtc compiler;

    /// <param name="index">Index of the GPU in libtorch's numbering.</param>
    /// <param name="compiler">Compiles what is not cached on disk.</param>
    /// <exception cref="CudaException">The GPU cannot be used.</exception>
    public CudaLauncher(int index, Nvrtc compiler)
    {
        this.index = index;
        this.compiler = compiler;
        var device = CudaContext.DeviceOf(index);
        Multiprocessors = Attribute(device, CudaDriver.MultiprocessorCount);
        Capability =
            (10 * Attribute(device, CudaDriver.CapabilityMajor)) + Attribute(device, CudaDriver.CapabilityMinor);
        var name = stackalloc byte[256];
        CudaDriver.Check(CudaDriver.DeviceGetName(name, 256, device), "read the GPU's name");
        DeviceName = Encoding.UTF8.GetString(name, new ReadOnlySpan<byte>(name, 256).IndexOf((byte)0));
    }

    /// <summary>Whether kernels that support it may start while the previous one is still running; can be turned off
    /// for comparison.</summary>
    public static bool Overlap { get; set; } = true;

    /// <inheritdoc/>
    public int Multiprocessors { get; }

    /// <summary>Compute capability times ten: 90 for Hopper.</summary>
    public int Capability { get; }

    /// <summary>The driver's name for the GPU.</summary>
    public string DeviceName { get; }

    /// <inheritdoc/>
    public void Launch(KernelName kernel, Grid grid, int threads, params ReadOnlySpan<KernelArgument> arguments)
    {
        if (!functions.TryGetValue(kernel, out var function))
        {
            function = Load(kernel);
        }

        var values = stackalloc ulong[arguments.Length];
        var pointers = stackalloc void*[arguments.Length];
        for (var i = 0; i < arguments.Length; i++)
        {
            values[i] = arguments[i].Bits;
            pointers[i] = values + i;
        }

        CudaContext.Ensure(index);
        var overlap = new LaunchAttribute { Kind = LaunchAttribute.Overlap, Value = 1 };
        var configuration = new LaunchConfiguration
        {
            GridX = (uint)grid.X,
            GridY = (uint)grid.Y,
            GridZ = (uint)grid.Z,
            BlockX = (uint)threads,
            BlockY = 1,
            BlockZ = 1,
            Stream = CudaStream.Current(index),
            Attributes = &overlap,
            AttributeCount = function.Overlaps && Overlap ? 1u : 0u,
        };
        var code = CudaDriver.LaunchKernel(&configuration, function.Function, pointers, null);
        if (code != 0)
        {
            CudaDriver.Check(
                code,
                $"launch '{kernel.Function}' on {grid.X} × {grid.Y} × {grid.Z} blocks of {threads} threads"
            );
        }
    }

    private (nint Function, bool Overlaps) Load(KernelName kernel)
    {
        lock (gate)
        {
            CudaContext.Ensure(index);
            var whole = kernel with { Function = "" };
            if (!modules.TryGetValue(whole, out var module))
            {
                fixed (byte* code = Code(kernel))
                {
                    CudaDriver.Check(
                        CudaDriver.ModuleLoadData(&module, code),
                        $"load the kernels of '{kernel.Source}'"
                    );
                }

                modules[whole] = module;
            }

            nint function;
            fixed (byte* name = Encoding.UTF8.GetBytes(kernel.Function + '\0'))
            {
                CudaDriver.Check(
                    CudaDriver.ModuleGetFunction(&function, module, name),
                    $"find the kernel '{kernel.Function}'"
                );
            }

            return functions[kernel] = (function, kernel.Overlaps && Capability >= 90);
        }
    }

    private byte[] Code(KernelName kernel)
    {
        var text = kernel.Text;
        var architecture = $"sm_{Capability}";
        var key = string.Join('\n', [compiler.Version, architecture, .. kernel.Macros, text]);
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)))[..24];
        return File.ReadAllBytes(
            CacheFolder.Current.FileOf(
                Path.Combine("kernels", $"{kernel.Source}-{hash}.cubin"),
                () => compiler.Compile(text, kernel.Source, architecture, kernel.Macros)
            )
        );
    }

    private static int Attribute(int device, int which)
    {
        int value;
        CudaDriver.Check(CudaDriver.DeviceGetAttribute(&value, which, device), "read a property of the GPU");
        return value;
    }
}
