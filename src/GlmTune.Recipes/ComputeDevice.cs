using System.Globalization;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Recipes.Planning;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes;

/// <summary>Parses the names of devices and types that a model can compute on and in.</summary>
internal static class ComputeDevice
{
    /// <summary>The names of the types that a model can compute in.</summary>
    public static IReadOnlyList<string> TypeNames { get; } = ["float32", "bfloat16", "float16", "float64"];

    /// <summary>The device with a given name; loads libtorch.</summary>
    /// <param name="name"><c>cpu</c>, <c>cuda</c> or <c>cuda:1</c>; null: the first working GPU, or the CPU.</param>
    /// <exception cref="InvalidDataException">The device does not exist on this machine.</exception>
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
        if (
            parts[0] != "cuda"
            || parts.Length > 2
            || (
                parts.Length == 2 && !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out index)
            )
        )
        {
            throw new InvalidDataException($"'{name}' is not a device; expected cpu, cuda or cuda:0.");
        }

        return index < gpus
            ? device(DeviceType.CUDA, index)
            : throw new InvalidDataException(
                $"'{name}': "
                    + $"{(gpus == 0 ? $"no usable GPU ({NoGpu()})" : $"there are {gpus} GPUs, numbered from 0")}."
            );
    }

    /// <summary>What a run computes on, for its first line: card or processor, type, and libtorch.</summary>
    /// <param name="device">Its device.</param>
    /// <param name="type">Its type.</param>
    public static string Describe(Device device, ScalarType type)
    {
        var runtime = NativeRuntime.Load();
        var card = GpuName.Of(device) is { } name
            ? $"{name} ({device})"
            : string.Create(CultureInfo.InvariantCulture, $"the CPU ({get_num_threads()} threads)");
        return $"{card}, {type.ToString().ToLowerInvariant()}, libtorch {runtime.Version} {runtime.Origin} "
            + $"({runtime.Folder})";
    }

    private static string NoGpu() =>
        string.Join("; ", ["no driver, or libtorch without CUDA", .. NativeRuntime.Load().PassedOver]);

    /// <summary>The devices for generation: one, or several over which the layers are spread; loads libtorch.</summary>
    /// <param name="name">A name that <see cref="Named"/> accepts, several of them separated by commas
    /// (<c>cuda:0,cuda:1</c>), or <c>auto</c>: as few GPUs as the model needs. Null means <c>auto</c>.</param>
    /// <param name="frozen">How the weights of the layers are stored; null: in the type of the others.</param>
    /// <returns>A function that places the layers, given the architecture and the type of the weights; and the first
    /// device.</returns>
    /// <exception cref="InvalidDataException">The device does not exist on this machine.</exception>
    public static (Device First, Func<ModelConfig, ScalarType, DevicePlan> Plan) PlanFor(
        string? name,
        FrozenType? frozen = null
    )
    {
        var automatic = name is null or "auto";
        var devices = automatic ? All() : [.. name!.Split(',').Select(part => Named(part.Trim()))];
        return (
            devices[0],
            (config, type) =>
                devices is [{ type: not DeviceType.CUDA }] ? new DevicePlan((devices[0], config.LayerCount))
                : automatic ? DevicePlan.Fit(config, type, WithMemory(), Room(config, type), ElementBytes(config, type))
                : DevicePlan.Over(config, type, WithMemory(), Room(config, type), ElementBytes(config, type))
        );

        double? ElementBytes(ModelConfig config, ScalarType type) =>
            frozen is null && config.Stored is null
                ? null
                : FrozenBytes.OfElement(config, frozen, backward: false, type.ElementSize());

        long Room(ModelConfig config, ScalarType type) =>
            CacheRoom(config, type) + FrozenBytes.Buffers(config, frozen, backward: false, type.ElementSize());

        (Device, long)[] WithMemory() =>
            [
                .. devices.Select(device =>
                    (device, DeviceMemory.Of(device)?.Free ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes)
                ),
            ];
    }

    // Room for one long conversation.
    private static long CacheRoom(ModelConfig config, ScalarType type) =>
        2L
        * config.LayerCount
        * config.Heads.KeyValueWidth
        * type.ElementSize()
        * Math.Min(config.MaxPositions, 1 << 15);

    private static IReadOnlyList<Device> All()
    {
        var first = Named(null);
        return first.type == DeviceType.CUDA
            ? [.. Enumerable.Range(0, cuda.device_count()).Select(index => device(DeviceType.CUDA, index))]
            : [first];
    }

    /// <summary>The type with a given name; without a name bfloat16 on a GPU and float32 on the CPU.</summary>
    /// <exception cref="ArgumentException">The name is not among <see cref="TypeNames"/>.</exception>
    public static ScalarType TypeNamed(string? name, Device device) =>
        name switch
        {
            null => device.type == DeviceType.CUDA ? ScalarType.BFloat16 : ScalarType.Float32,
            "float32" => ScalarType.Float32,
            "bfloat16" => ScalarType.BFloat16,
            "float16" => ScalarType.Float16,
            "float64" => ScalarType.Float64,
            _ => throw new ArgumentException(
                $"'{name}' is not a compute type; expected one of {string.Join(", ", TypeNames)}.",
                nameof(name)
            ),
        };
}
