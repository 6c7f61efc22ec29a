using System.Globalization;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Training;

/// <summary>One item of memory used in training.</summary>
/// <param name="Name">Description, such as "weights".</param>
/// <param name="Bytes">Bytes on one rank.</param>
public sealed record MemoryPart(string Name, long Bytes);

/// <summary>The minimum memory that a training run needs on each rank, computed from configuration and recipe
/// alone.</summary>
/// <remarks>This is a lower bound: activations are counted as if all of them were recomputed, and communication buffers
/// are not counted. A run that needs more than is free cannot work; one that needs less may still run out of
/// memory.</remarks>
/// <param name="Device">Items in the memory of the rank's device.</param>
/// <param name="Host">Items in host memory.</param>
public sealed record MemoryPlan(IReadOnlyList<MemoryPart> Device, IReadOnlyList<MemoryPart> Host)
{
    private const int MaxRanks = 1024;

    /// <summary>Total bytes on the device of one rank.</summary>
    public long DeviceBytes => Device.Sum(part => part.Bytes);

    /// <summary>Total bytes of one rank in host memory.</summary>
    public long HostBytes => Host.Sum(part => part.Bytes);

    /// <summary>Computes the plan for a model and a recipe.</summary>
    /// <param name="config">Configuration of the model.</param>
    /// <param name="recipe">The recipe.</param>
    /// <param name="sharding">What is sharded over the ranks.</param>
    /// <param name="ranks">Number of ranks.</param>
    /// <param name="type">Type in which layers compute.</param>
    /// <param name="tokens">Number of tokens in the largest pass.</param>
    public static MemoryPlan For(
        ModelConfig config,
        Recipe recipe,
        ShardingOptions sharding,
        int ranks,
        ScalarType type,
        long tokens
    )
    {
        var size = type.ElementSize();
        var all = config.ParameterCount;
        var trained = TrainedCount(config, recipe);
        var adapter = recipe.Lora is not null || recipe.Prefix is not null;
        var embedding = (long)config.VocabularySize * config.HiddenSize;
        List<MemoryPart> device = [];
        List<MemoryPart> host = [];

        // At stage 3 a rank permanently holds one slice, plus the layer in use as a whole.
        var share = sharding.Stage >= 1 ? ranks : 1;
        var whole = sharding.Stage < 3;
        if (whole || adapter)
        {
            var rounded = recipe.Training.Fp8Base ? config.ParametersPerLayer * config.LayerCount : 0;
            var moved = recipe.Training.OffloadEmbedding ? embedding : 0;
            var weights = ((all - moved - rounded) * size) + rounded;
            Add(
                sharding.OffloadParameters ? host : device,
                $"weights ({Name(type)})",
                whole ? weights : weights / ranks
            );
            Add(host, "embedding", moved * size);
        }

        if (!whole)
        {
            Add(device, "a gathered layer", Math.Max(embedding, config.ParametersPerLayer) * size);
        }

        var state = sharding.OffloadOptimizer ? host : device;
        if (adapter)
        {
            Add(device, "adapter", trained * size);
        }
        else if (sharding.OffloadOptimizer)
        {
            Add(sharding.OffloadParameters ? host : device, $"updated weights ({Name(type)})", trained * size / share);
        }

        Add(device, "gradients (float32)", trained * 4 / share);
        Add(state, "master weights (float32)", trained * 4 / share);
        Add(state, "AdamW's two moments (float32)", trained * 8 / share);
        Add(device, "inputs of the layers", tokens * config.HiddenSize * size * config.LayerCount);
        return new MemoryPlan(device, host);

        static void Add(List<MemoryPart> parts, string name, long bytes)
        {
            if (bytes > 0)
            {
                parts.Add(new MemoryPart(name, bytes));
            }
        }
    }

    /// <summary>Refuses a run that cannot fit, showing the numbers and suggesting settings that would fit.</summary>
    /// <param name="config">Configuration of the model.</param>
    /// <param name="recipe">The recipe.</param>
    /// <param name="sharding">What is sharded over the ranks.</param>
    /// <param name="ranks">Number of ranks.</param>
    /// <param name="type">Type in which layers compute.</param>
    /// <param name="tokens">Number of tokens in the largest pass.</param>
    /// <param name="free">Free bytes on the device, and the device's name for messages.</param>
    /// <returns>The plan as one line for the log.</returns>
    /// <exception cref="InvalidDataException">The run needs more memory than is free.</exception>
    public static string Check(
        ModelConfig config,
        Recipe recipe,
        ShardingOptions sharding,
        int ranks,
        ScalarType type,
        long tokens,
        (long Bytes, string Device) free
    )
    {
        var plan = For(config, recipe, sharding, ranks, type, tokens);
        if (plan.DeviceBytes <= free.Bytes)
        {
            return $"memory: at least {plan} of {Gib(free.Bytes)} free on {free.Device}";
        }

        var adapter = recipe.Lora is not null || recipe.Prefix is not null;
        var sharded = sharding with { Stage = 3 };
        var enough = Enumerable
            .Range(ranks + 1, MaxRanks)
            .FirstOrDefault(count => For(config, recipe, sharded, count, type, tokens).DeviceBytes <= free.Bytes);
        List<string> ways = [];
        if (!adapter)
        {
            ways.Add("train an adapter (configs/lora.yaml)");
            if (!sharding.OffloadOptimizer)
            {
                ways.Add("keep the optimizer in host memory (DeepSpeed's offload_optimizer: {device: cpu})");
            }
        }
        else if (!recipe.Training.Fp8Base && type != ScalarType.Float32)
        {
            ways.Add("set fp8_base or offload_embedding");
        }

        if (enough > 0)
        {
            ways.Add($"use ZeRO stage 3 on at least {enough} such GPUs");
        }

        throw new InvalidDataException(
            $"The run does not fit: {(adapter ? "the adapter's training" : "training all weights")} needs at least {plan} "
                + $"on each rank; {Gib(free.Bytes)} are free on {free.Device}. Nothing was loaded."
                + (ways.Count == 0 ? "" : $" Ways out: {string.Join("; ", ways)}.")
        );
    }

    /// <inheritdoc/>
    public override string ToString() =>
        Describe(Device) + (Host.Count == 0 ? "" : $", and in host memory {Describe(Host)}");

    // Number of trainable parameters; modules to save and projections are not counted.
    private static long TrainedCount(ModelConfig config, Recipe recipe)
    {
        if (recipe.Lora is { } lora)
        {
            using var model = config.NewModel(ScalarType.Float32, CPU);
            var targets = lora.TargetModules ?? model.Names.DefaultTargets(config.Layout);
            return model
                .Names.Linears(model, config.Layout)
                .Where(slice => Lora.IsTarget(slice, targets))
                .Sum(slice => lora.Rank * (slice.Linear.InputWidth + slice.Rows));
        }

        return recipe.Prefix is { } prefix
            ? 2L * prefix.VirtualTokens * config.Heads.KeyValueWidth * config.LayerCount
            : config.ParameterCount;
    }

    private static string Describe(IReadOnlyList<MemoryPart> parts) =>
        $"{Gib(parts.Sum(part => part.Bytes))} ({string.Join(", ", parts.Select(part => $"{part.Name} {Gib(part.Bytes)}"))})";

    private static string Name(ScalarType type) => type.ToString().ToLowerInvariant();

    private static string Gib(long bytes) =>
        bytes >= 1L << 30
            ? string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):F1} GiB")
            : string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 20):F1} MiB");
}
