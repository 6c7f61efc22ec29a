using System.Globalization;
using GlmTune.Collectives;
using GlmTune.Collectives.Native;
using GlmTune.Files;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Cli.Diagnosis;

/// <summary>Driver, libtorch, GPUs, kernels, NCCL and MPI.</summary>
internal static class LibraryFindings
{
    private const string CudaAdvice =
        "Install PyTorch 2.10 or newer with CUDA in the active environment of Python (pip install torch).";

    /// <summary>Looks at all of them; loads libtorch.</summary>
    public static IEnumerable<Finding> All()
    {
        var driver = NativeRuntime.HasDriver;
        yield return driver
            ? Finding.Ok("NVIDIA driver", ProcFile.Value("/proc/driver/nvidia/version", "NVRM version") ?? "present")
            : Finding.Ok("NVIDIA driver", "none: the CPU is used");
        var (runtime, failure) = Load();
        foreach (var (place, problem) in NativeRuntime.Survey().Where(found => found.Problem is not null))
        {
            yield return Finding.Warning(
                "libtorch passed over",
                $"{place.Folder} ({place.Origin}) {problem}",
                "Nothing, unless it is the one you want to use."
            );
        }

        if (runtime is null)
        {
            yield return Finding.Error("libtorch", failure!, "See docs/installation.md.");
            yield break;
        }

        yield return Finding.Ok(
            "libtorch",
            $"{runtime.Version}, {runtime.Origin}, {(runtime.Cuda ? "with CUDA" : "CPU only")}: {runtime.Folder}"
        );
        yield return Computes();
        var gpus = runtime.Cuda && cuda.is_available() ? cuda.device_count() : 0;
        if (driver && gpus == 0)
        {
            yield return Finding.Warning(
                "GPU",
                runtime.Cuda ? "no GPU is visible" : "there is a driver, but this libtorch has no CUDA",
                runtime.Cuda ? "Check nvidia-smi and CUDA_VISIBLE_DEVICES." : CudaAdvice
            );
        }

        for (var i = 0; i < gpus; i++)
        {
            foreach (var finding in Gpu(device(DeviceType.CUDA, i)))
            {
                yield return finding;
            }
        }

        if (gpus > 0)
        {
            yield return Nccl(gpus);
            yield return PageLocked(ProcFile.Value("/proc/self/limits", "Max locked memory"));
        }

        yield return Mpi();
    }

    /// <summary>Whether enough memory may be locked for transfers between hosts.</summary>
    /// <param name="limits">Soft limit, hard limit and unit, as Linux writes them; null if unknown.</param>
    internal static Finding PageLocked(string? limits)
    {
        const string Name = "page-locked memory";
        var soft = limits?.Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
        return
            soft is null or "unlimited"
            || long.TryParse(soft, NumberStyles.None, CultureInfo.InvariantCulture, out var bytes) && bytes >= 1L << 30
            ? Finding.Ok(Name, $"limit: {soft ?? "unknown"}")
            : Finding.Warning(
                Name,
                $"limit: {soft} bytes",
                "NCCL over InfiniBand needs more: `ulimit -l unlimited`, or memlock in /etc/security/limits.conf."
            );
    }

    private static (LoadedRuntime? Runtime, string? Failure) Load()
    {
        try
        {
            return (NativeRuntime.Load(), null);
        }
        catch (DllNotFoundException error)
        {
            return (null, error.Message);
        }
    }

    private static Finding Computes()
    {
        using var scope = NewDisposeScope();
        var (a, b) = (ones(64, 64), ones(64, 64));
        var sum = a.mm(b).sum().item<float>();
        return sum == 64 * 64 * 64
            ? Finding.Ok(
                "CPU product",
                string.Create(CultureInfo.InvariantCulture, $"right, {get_num_threads()} threads")
            )
            : Finding.Error("CPU product", "a matrix product is wrong", "Use another libtorch (GLMTUNE_LIBTORCH).");
    }

    private static IEnumerable<Finding> Gpu(Device gpu)
    {
        var memory = DeviceMemory.Of(gpu)!.Value;
        yield return Finding.Ok(
            $"GPU {gpu.index}",
            $"{GpuName.Of(gpu)}, {ByteCount.Text(memory.Free)} free of {ByteCount.Text(memory.Total)}"
        );
        yield return Kernels(gpu);
    }

    // A small function of ours beside its definition by plain operators.
    private static Finding Kernels(Device gpu)
    {
        var name = $"CUDA kernels {gpu.index}";
        const string Advice = "Training works with plain operators, but slower.";
        if (CudaKernels.TryCreate(gpu, out var reason) is not { } kernels)
        {
            return Finding.Warning(name, reason, Advice);
        }

        try
        {
            using var scope = NewDisposeScope();
            var input = randn(4, 512, ScalarType.BFloat16, gpu);
            var (expected, actual) = (
                new PlainKernels().SwiGlu(input).to(ScalarType.Float32),
                kernels.SwiGlu(input).to(ScalarType.Float32)
            );
            var apart = (expected - actual).abs().max().item<float>();
            // bfloat16 has 8 bits.
            var limit = 0.02f * expected.abs().max().item<float>();
            return apart <= limit
                ? Finding.Ok(name, $"compile and run: {kernels.Description}")
                : Finding.Error(
                    name,
                    "a kernel's result is wrong",
                    "Report it with this output; --plain avoids kernels."
                );
        }
        catch (CudaException error)
        {
            return Finding.Error(name, error.Message, Advice);
        }
    }

    private static Finding Nccl(int gpus)
    {
        try
        {
            return Finding.Ok("NCCL", NcclLibrary.Current.Name);
        }
        catch (DllNotFoundException error)
        {
            return gpus > 1
                ? Finding.Warning("NCCL", error.Message, "It is needed for training on several GPUs.")
                : Finding.Ok("NCCL", "not found; needed for several GPUs only");
        }
    }

    private static Finding Mpi() =>
        MpiLibrary.Exists
            ? Finding.Ok("MPI", $"{MpiLibrary.Current.Name}; mpirun: {SearchPath.Find("mpirun") ?? "not on the PATH"}")
            : Finding.Ok("MPI", "not found; needed for several processes on CPUs only");
}
