using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>The device of each part of a model: consecutive decoder layers form "stages".</summary>
/// <remarks>The token embedding is on the first stage, the output head on the last. Hidden states are copied from stage
/// to stage.</remarks>
internal sealed class DevicePlan
{
    // The rest is for activations and for memory that the allocator cannot use.
    private const double MaxMemoryShare = 0.9;
    private readonly int[] stageOf;

    /// <param name="stages">Devices with their numbers of decoder layers; at least one device, each with at least one
    /// layer.</param>
    /// <exception cref="ArgumentException">There is no stage, or one has no layers.</exception>
    public DevicePlan(params IReadOnlyList<(Device Device, int Layers)> stages)
    {
        if (stages.Count == 0 || stages.Any(stage => stage.Layers < 1))
        {
            throw new ArgumentException(
                "A plan needs at least one stage, and every stage at least one layer.",
                nameof(stages)
            );
        }

        Devices = [.. stages.Select(stage => stage.Device)];
        stageOf = [.. stages.SelectMany((stage, i) => Enumerable.Repeat(i, stage.Layers))];
    }

    /// <summary>The device of each stage.</summary>
    public IReadOnlyList<Device> Devices { get; }

    /// <summary>Total number of decoder layers.</summary>
    public int LayerCount => stageOf.Length;

    /// <summary>The stage of a decoder layer.</summary>
    /// <param name="layer">Index of the layer, from 0.</param>
    public int PipelineStageOf(int layer) => stageOf[layer];

    /// <summary>The device of a decoder layer.</summary>
    /// <param name="layer">Index of the layer, from 0.</param>
    public Device DeviceOf(int layer) => Devices[stageOf[layer]];

    /// <summary>The first device alone if the model fits; otherwise as few devices as can hold it, each filled to the
    /// same fraction of its free memory.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="type">Type of the weights.</param>
    /// <param name="devices">Devices with their free bytes, in order of use.</param>
    /// <param name="cacheBytes">Bytes to reserve for the KV cache of all layers.</param>
    /// <param name="elementBytes">Bytes of an element of the layers' weights; null: those of <paramref name="type"/>.
    /// </param>
    /// <exception cref="InvalidDataException">The devices together have too little memory; the message says by how
    /// much.</exception>
    public static DevicePlan Fit(
        ModelConfig config,
        ScalarType type,
        IReadOnlyList<(Device Device, long FreeBytes)> devices,
        long cacheBytes = 0,
        double? elementBytes = null
    ) =>
        Enumerable
            .Range(1, Math.Min(devices.Count, config.LayerCount))
            .Select(count => TryOver(config, type, [.. devices.Take(count)], cacheBytes, elementBytes))
            .FirstOrDefault(plan => plan is not null)
        ?? throw TooSmall(config, type, devices, cacheBytes, elementBytes);

    /// <summary>All devices, each filled to the same fraction of its free memory.</summary>
    /// <inheritdoc cref="Fit"/>
    public static DevicePlan Over(
        ModelConfig config,
        ScalarType type,
        IReadOnlyList<(Device Device, long FreeBytes)> devices,
        long cacheBytes = 0,
        double? elementBytes = null
    ) =>
        devices.Count > config.LayerCount
            ? throw new InvalidDataException(
                $"The model has {config.LayerCount} layers, too few for {devices.Count} devices; use fewer "
                    + "devices."
            )
            : TryOver(config, type, devices, cacheBytes, elementBytes)
                ?? throw TooSmall(config, type, devices, cacheBytes, elementBytes);

    /// <inheritdoc/>
    public override string ToString() =>
        string.Join(
            ", ",
            Devices.Select(
                (device, stage) =>
                    $"{device}: layers {Array.IndexOf(stageOf, stage)} to {Array.LastIndexOf(stageOf, stage)}"
            )
        );

    // The smallest fraction of the devices' memory that holds the model; null if all of it does not.
    private static DevicePlan? TryOver(
        ModelConfig config,
        ScalarType type,
        IReadOnlyList<(Device Device, long FreeBytes)> devices,
        long cacheBytes,
        double? elementBytes
    )
    {
        var (layer, end) = Needs(config, type, cacheBytes, elementBytes);
        var best = Fill(devices, MaxMemoryShare, layer, end, config.LayerCount);
        var (low, high) = (0.0, MaxMemoryShare);
        for (var i = 0; best is not null && i < 40; i++)
        {
            var share = (low + high) / 2;
            if (Fill(devices, share, layer, end, config.LayerCount) is { } smaller)
            {
                (best, high) = (smaller, share);
            }
            else
            {
                low = share;
            }
        }

        return best;
    }

    // Bytes of a decoder layer with its cache, and of the embedding or the head.
    private static (long Layer, long End) Needs(
        ModelConfig config,
        ScalarType type,
        long cacheBytes,
        double? elementBytes
    )
    {
        var bytes = type.ElementSize();
        return (
            (long)(config.ParametersPerLayer * (elementBytes ?? bytes)) + (cacheBytes / config.LayerCount),
            (long)config.VocabularySize * config.HiddenSize * bytes
        );
    }

    // As many layers on each device as fit into a fraction of its memory; null if some remain.
    private static DevicePlan? Fill(
        IReadOnlyList<(Device Device, long FreeBytes)> devices,
        double share,
        long layer,
        long end,
        int layers
    )
    {
        var stages = new List<(Device, int)>();
        var left = layers;
        foreach (var (stage, (device, free)) in devices.Index())
        {
            var room = (long)(free * share) - (stage == 0 ? end : 0) - (stage == devices.Count - 1 ? end : 0);
            var count = (int)Math.Min(left - (devices.Count - 1 - stage), Math.Max(0, room) / layer);
            if (count < 1)
            {
                return null;
            }

            stages.Add((device, count));
            left -= count;
        }

        return left == 0 ? new DevicePlan([.. stages]) : null;
    }

    private static InvalidDataException TooSmall(
        ModelConfig config,
        ScalarType type,
        IReadOnlyList<(Device Device, long FreeBytes)> devices,
        long cacheBytes,
        double? elementBytes
    )
    {
        var (layer, end) = Needs(config, type, cacheBytes, elementBytes);
        return new InvalidDataException(
            $"The model needs {Gib((layer * config.LayerCount) + (2 * end))} in {type}, including its cache, "
                + "plus working memory; free: "
                + $"{string.Join(", ", devices.Select(each => $"{Gib(each.FreeBytes)} on {each.Device}"))}. Use "
                + "a smaller type, --quantization nf4, more devices, or the CPU."
        );
    }

    private static string Gib(long bytes) => FormattableString.Invariant($"{bytes / (double)(1L << 30):0.0} GiB");
}
