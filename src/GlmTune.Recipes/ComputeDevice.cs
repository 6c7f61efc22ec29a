using System.Globalization;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes;

/// <summary>Where and in which type a model computes, as people name it.</summary>
public static class ComputeDevice
{
    /// <summary>The names of the types that a model can compute in.</summary>
    public static IReadOnlyList<string> TypeNames { get; } = ["float32", "bfloat16", "float16", "float64"];

    /// <summary>The device of a name; loads libtorch.</summary>
    /// <param name="name"><c>cpu</c>, <c>cuda</c> or <c>cuda:1</c>; null for the first GPU when one works, else the CPU.</param>
    /// <exception cref="InvalidDataException">There is no such device on this machine.</exception>
    public static Device Named(string? name)
    {
        var runtime = NativeRuntime.Load();
        if (name is null)
        {
            return NativeRuntime.DefaultDevice();
        }

        if (name == "cpu")
        {
            return CPU;
        }

        var gpus = runtime.Cuda && cuda.is_available() ? cuda.device_count() : 0;
        var parts = name.Split(':');
        var index = 0;
        if (parts[0] != "cuda" || parts.Length > 2 || (parts.Length == 2 && !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out index)))
        {
            throw new InvalidDataException($"'{name}' is no device; expected cpu, cuda or cuda:0.");
        }

        return index < gpus ? device(DeviceType.CUDA, index)
            : throw new InvalidDataException($"'{name}': {(gpus == 0 ? "no GPU works here (no driver, or libtorch without CUDA)" : $"there are {gpus} GPUs, numbered from 0")}.");
    }

    /// <summary>The type of a name; without one bfloat16 on a GPU and float32 on the CPU.</summary>
    /// <exception cref="ArgumentException">The name is not among <see cref="TypeNames"/>.</exception>
    public static ScalarType TypeNamed(string? name, Device device) => name switch
    {
        null => device.type == DeviceType.CUDA ? ScalarType.BFloat16 : ScalarType.Float32,
        "float32" => ScalarType.Float32,
        "bfloat16" => ScalarType.BFloat16,
        "float16" => ScalarType.Float16,
        "float64" => ScalarType.Float64,
        _ => throw new ArgumentException($"'{name}' is no type to compute in; there are {string.Join(", ", TypeNames)}.", nameof(name)),
    };
}
