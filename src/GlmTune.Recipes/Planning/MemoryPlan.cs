using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Model.Layers;
using GlmTune.Training;
using GlmTune.Training.Capture;
using GlmTune.Training.Optimization;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Planning;

/// <summary>One item of memory used in training.</summary>
/// <param name="Name">Description, such as "weights".</param>
/// <param name="Bytes">Bytes on one rank.</param>
internal sealed record MemoryPart(string Name, long Bytes);

/// <summary>The most memory that training needs on each rank, predicted from the numbers of configuration and recipe
/// alone: on a GPU within 5 % of what was measured (docs/memory.md).</summary>
/// <param name="Device">Items in the memory of the rank's device.</param>
/// <param name="Host">Items in host memory.</param>
/// <param name="Recomputed">What is recomputed.</param>
internal sealed record MemoryPlan(
    IReadOnlyList<MemoryPart> Device,
    IReadOnlyList<MemoryPart> Host,
    RecomputePlan Recomputed
)
{
    /// <summary>What CUDA and its libraries take before there is a model, as measured on an H100 with CUDA
    /// 13.0.</summary>
    public const long ContextBytes = 529L << 20;

    // Workspaces of cuBLAS and cuDNN, and compiled kernels.
    private const long LibraryBytes = 128L << 20;

    // What the allocator loses to the sizes of its blocks, as a share of what comes and goes.
    private const double Rounding = 0.01;

    // Four pieces of 2^24 float32 numbers.
    private const long QuantizedPieces = 4L * Wide << 24;

    // What attention's backward pass needs beside its results, in widths of the queries: their gradient in float32, and
    // those of keys and values for each query head. Measured: 49 KiB of a token in all, with 32 heads of 128.
    private const int AttentionSums = 4;

    private const int AdamMoments = 2;
    private const int Wide = 4;

    /// <summary>Total bytes on the device of one rank.</summary>
    public long DeviceBytes => Device.Sum(part => part.Bytes);

    /// <summary>Total bytes of one rank in host memory.</summary>
    public long HostBytes => Host.Sum(part => part.Bytes);

    /// <summary>Bytes of <see cref="HostBytes"/> that the copy of a checkpoint takes. A run does without the copy where
    /// it does not fit, and pauses while checkpoints are written.</summary>
    public long CopyBytes { get; private init; }

    /// <summary>Computes the plan.</summary>
    /// <param name="demand">What is trained, and how.</param>
    /// <param name="available">Bytes of the device, where recomputation is decided by them; null: nothing is recomputed
    /// unless asked for.</param>
    /// <exception cref="InvalidDataException">The adapter does not fit the model.</exception>
    public static MemoryPlan For(MemoryDemand demand, long? available = null)
    {
        var sizes = demand.Sizes();
        var (config, size) = (demand.Config, demand.Type.ElementSize());
        var (device, host) = (new PartList(), new PartList());
        if (demand.WithContext)
        {
            device.Add("CUDA", ContextBytes);
        }

        AddWeights(demand, sizes, device, host);
        AddTraining(demand, sizes, device, host);
        var passing = AddPassing(demand, sizes, device);
        device.Add("libraries", LibraryBytes);

        var headRows = demand.HeadRows ?? OutputHead.ManyChunkRows;
        var recomputed =
            demand.Recompute
            ?? (
                available is { } bytes
                    ? RecomputePlan.For(
                        bytes - device.Bytes + passing,
                        config,
                        demand.Type,
                        demand.Tokens,
                        sizes.Kept * size,
                        sizes.KeptSelectively * size,
                        headRows,
                        passing
                    )
                    : new RecomputePlan(0, 0)
            );
        if (demand.HeadRows is null && recomputed.Whole == config.LayerCount)
        {
            headRows = OutputHead.FewChunkRows;
        }

        AddActivations(demand, sizes, recomputed, headRows, device, host);
        var copy = demand.CopiesCheckpoints ? CopyOfCheckpoint(demand, sizes) : 0;
        host.Add("copy of a checkpoint that is being written", copy);
        return new MemoryPlan(device.Parts, host.Parts, recomputed) { CopyBytes = copy };
    }

    /// <inheritdoc/>
    public override string ToString() =>
        Describe(Device) + (Host.Count == 0 ? "" : $", and in host memory {Describe(Host)}");

    // At stage 3 each rank stores a slice, and the layers in use are complete.
    private static void AddWeights(MemoryDemand demand, LayerSizes sizes, PartList device, PartList host)
    {
        var (config, size) = (demand.Config, demand.Type.ElementSize());
        var embedding = (long)config.VocabularySize * config.HiddenSize;
        var moved = demand.OffloadEmbedding ? embedding : 0;
        var sharding = demand.Sharding;
        if (sharding.Stage < 3 || demand.TrainsAdapter)
        {
            var rounded =
                demand.Frozen is null && config.Stored is null ? 0 : config.ParametersPerLayer * config.LayerCount;
            var bytes =
                ((config.ParameterCount - moved - rounded) * size)
                + (long)(rounded * FrozenBytes.OfElement(config, demand.Frozen, backward: true, size));
            (sharding.OffloadParameters ? host : device).Add(
                (demand.Frozen is { } frozen ? Name(frozen) : config.Stored?.Name) is { } layers
                    ? $"weights ({Name(demand.Type)}, layers {layers})"
                    : $"weights ({Name(demand.Type)})",
                sharding.Stage < 3 ? bytes : bytes / demand.Ranks
            );
            host.Add("embedding", moved * size);
            // What quantizing two layers in turn, in float32 pieces, leaves with the allocator.
            device.Add(
                "quantizing",
                demand.Frozen switch
                {
                    null => 0,
                    FrozenType.Fp8 => (2 * config.ParametersPerLayer * size) + QuantizedPieces,
                    // The weight itself makes room for one of the buffers below.
                    _ => QuantizedPieces / 4,
                }
            );
            device.Add("dequantized weights", FrozenBytes.Buffers(config, demand.Frozen, backward: true, size));
        }

        if (sharding.Stage == 3)
        {
            device.Add(
                "gathered layers",
                size
                    * (
                        sharding is { OffloadParameters: true, MaxReuseDistance: 0 }
                            ? sizes.LargestUnit + (2 * config.ParametersPerLayer)
                            : Math.Max(sizes.TwoLargestUnits, Math.Min(config.ParameterCount, sharding.MaxLiveElements))
                    )
            );
        }
    }

    private static void AddTraining(MemoryDemand demand, LayerSizes sizes, PartList device, PartList host)
    {
        var size = demand.Type.ElementSize();
        var (sharding, trained) = (demand.Sharding, sizes.Trained);
        var share = sharding.Stage >= 1 ? demand.Ranks : 1;
        var state = sharding.OffloadOptimizer ? host : device;
        if (demand.TrainsAdapter)
        {
            device.Add("adapter", trained * size);
        }
        else if (!demand.HasMasters)
        {
            // Below stage 3 they are the weights counted above.
            var weights = sharding.OffloadParameters ? host : device;
            weights.Add($"weights ({Name(demand.Type)})", sharding.Stage == 3 ? trained * size / share : 0);
        }
        else if (sharding.OffloadOptimizer)
        {
            var weights = sharding is { OffloadParameters: true, Stage: 3 } ? host : device;
            weights.Add($"updated weights ({Name(demand.Type)})", trained * size / share);
        }

        var gradientSize = demand.HasMasters ? Wide : size;
        var gradient = demand.HasMasters ? "float32" : Name(demand.Type);
        if (sharding.UpdatesByLayer)
        {
            device.Add($"gradients of one layer ({gradient})", sizes.LargestUnit * gradientSize);
        }
        else
        {
            device.Add($"gradients ({gradient})", trained * gradientSize / share);
            device.Add(
                $"gradients while accumulating ({gradient})",
                sharding.Stage == 1 && demand.AccumulationSteps > 1 ? trained * gradientSize : 0
            );
        }

        state.Add("master weights (float32)", demand.HasMasters ? trained * Wide / share : 0);
        state.Add(
            $"AdamW's two moments ({demand.Sharding.State.Moments.ToString().ToLowerInvariant()})",
            MomentBytes(demand.Sharding.State.Moments, trained) / share
        );
        var streams =
            !sharding.State.IsFull && (sharding.OffloadOptimizer || (sharding.OffloadParameters && !demand.HasMasters));
        device.Add("state on its way", streams ? StreamedAdamW.BufferBytes : 0);
    }

    private static long MomentBytes(StateType type, long count) =>
        type switch
        {
            StateType.BFloat16 => AdamMoments * 2 * count,
            StateType.Int8 => AdamMoments * (count + (BlockCodes.Blocks(count) * Wide)),
            _ => AdamMoments * Wide * count,
        };

    // Of rank 0, which also receives the weights of the others.
    private static long CopyOfCheckpoint(MemoryDemand demand, LayerSizes sizes)
    {
        var (sharding, trained, size) = (demand.Sharding, sizes.Trained, demand.Type.ElementSize());
        var share = sharding.Stage >= 1 ? demand.Ranks : 1;
        var isWhole = demand.TrainsAdapter || sharding.Stage < 3 || sharding.GatherWeightsOnSave;
        var own = trained * (demand.HasMasters ? Wide : size);
        var moments = demand.SavesMoments ? MomentBytes(sharding.State.Moments, trained) : 0;
        return ((own + moments) / share) + (share > 1 && isWhole ? trained * (demand.TrainsAdapter ? Wide : size) : 0);
    }

    // Gradients between a layer's backward pass and their sum. Returns what of it is there beside activations.
    private static long AddPassing(MemoryDemand demand, LayerSizes sizes, PartList device)
    {
        var (config, size, sharding) = (demand.Config, demand.Type.ElementSize(), demand.Sharding);
        var table = (long)config.VocabularySize * config.HiddenSize;
        var largest =
            sizes.TrainsHead ? table
            : demand.TrainsAdapter ? sizes.Trained / config.LayerCount
            : config.ParametersPerLayer;
        // A single rank with its weights in host memory sends nothing.
        var sends = sharding.Stage > 0 && !(demand.Ranks == 1 && sharding.OffloadParameters);
        var bucket = sends ? Math.Min(largest, sharding.ReduceBucketElements) * size : 0;
        var beside =
            (largest * size * (demand is { AccumulationSteps: > 1, HasMasters: true } ? 2 : 1))
            + bucket
            + (demand.TrainsAdapter ? 0 : config.ParametersPerLayer * size);
        device.Add("gradients on their way", beside);
        if (sizes.TrainsEmbedding)
        {
            device.Add(
                $"the embedding's gradient ({(demand.HasMasters ? "float32" : Name(demand.Type))})",
                (table * (demand.HasMasters ? Wide : size))
                    + (sends ? Math.Min(table, sharding.ReduceBucketElements) * size : 0)
            );
        }

        return beside;
    }

    private static void AddActivations(
        MemoryDemand demand,
        LayerSizes sizes,
        RecomputePlan recomputed,
        int headRows,
        PartList device,
        PartList host
    )
    {
        var (config, size, tokens) = (demand.Config, demand.Type.ElementSize(), demand.Tokens);
        var whole = Math.Min(recomputed.Whole, config.LayerCount);
        var recomputesAll = whole == config.LayerCount;
        var selective = Math.Min(recomputed.Selective, config.LayerCount - whole);
        // Attention without kernels keeps its probabilities.
        var plain = demand.Type is ScalarType.BFloat16 or ScalarType.Float16
            ? 0
            : config.QueryHeads * Math.Max(1, Math.Min(tokens, demand.LongestSequence));
        var (kept, cheap) = (sizes.Kept + plain, sizes.KeptSelectively + plain);
        var before = device.Bytes;
        var inputs = tokens * size * config.HiddenSize;
        if (demand.OffloadActivations)
        {
            device.Add("inputs of two layers", OffloadedInputs.BuffersOnDevice * inputs);
            host.Add("inputs of the layers (page-locked)", whole * inputs);
            whole = 0;
        }

        device.Add(
            recomputesAll ? "inputs of the layers" : "activations of the layers",
            recomputesAll
                ? whole * inputs
                : tokens
                    * size
                    * (
                        ((long)whole * config.HiddenSize)
                        + (selective * cheap)
                        + ((config.LayerCount - whole - selective) * kept)
                    )
        );
        device.Add(
            "one layer's forward and backward pass",
            size * (recomputesAll && tokens > 2L * demand.TileTokens ? TiledLayer(demand, sizes, plain) : WholeLayer())
        );
        device.Add("logits", Math.Min(tokens, headRows) * config.VocabularySize * size);
        var moving = device.Bytes - before;
        if (demand.CudaGraphs && demand.TrainsAdapter && tokens <= StepCapture.MaxTokens)
        {
            device.Add("CUDA graphs", GraphBytes(demand, sizes));
        }

        device.Add("the allocator's rounding", (long)(moving * Rounding));

        // While SwiGLU's gradient is computed: what a recomputed layer left, the gradient that came, the inner one and
        // that of gate and up.
        long WholeLayer() =>
            tokens
            * ((recomputed.Whole > 0 ? kept : 0) + config.HiddenSize + (3L * config.FeedForwardSize) + (2 * plain));
    }

    // Numbers of a recomputed layer whose feed-forward block runs in tiles: what it left, the gradients of the residual
    // stream and of attention's output, and either a tile or attention's backward pass.
    private static long TiledLayer(MemoryDemand demand, LayerSizes sizes, long plain)
    {
        var (config, heads) = (demand.Config, demand.Config.Heads);
        var left = sizes.Kept - sizes.KeptByFeedForward + plain;
        var tile = demand.TileTokens * ((6L * config.FeedForwardSize) + (2L * config.HiddenSize));
        var feedForward = (demand.Tokens * (left + (3L * config.HiddenSize))) + tile;
        var attention =
            left
            - (2L * config.HiddenSize)
            + (3L * config.HiddenSize)
            + (AttentionSums * heads.QueryWidth)
            + heads.FusedWidth
            + (2 * plain);
        return Math.Max(feedForward, demand.Tokens * attention);
    }

    // Reserved for twice as many tokens each time, from 128 on.
    private static long GraphBytes(MemoryDemand demand, LayerSizes sizes)
    {
        var reserved = 128L;
        while (reserved < demand.Tokens)
        {
            reserved *= 2;
        }

        var (config, size) = (demand.Config, demand.Type.ElementSize());
        return (reserved * size * sizes.Kept * config.LayerCount)
            + (2 * sizes.Trained / config.LayerCount * Wide)
            + (reserved * size * ((8L * config.FeedForwardSize) + (16L * config.HiddenSize)))
            + (2L * reserved * config.VocabularySize * size)
            + (FrozenBytes.Buffers(config, demand.Frozen, backward: true, size) / 2)
            + (256L << 20);
    }

    private static string Describe(IReadOnlyList<MemoryPart> parts) =>
        $"{ByteCount.Text(parts.Sum(part => part.Bytes))} "
        + $"({string.Join(", ", parts.Select(part => $"{part.Name} {ByteCount.Text(part.Bytes)}"))})";

    private static string Name(FrozenType type) => type.ToString().ToLowerInvariant();

    private static string Name(ScalarType type) => type.ToString().ToLowerInvariant();

    // Parts of no size are left out.
    private sealed class PartList
    {
        private readonly List<MemoryPart> parts = [];

        public IReadOnlyList<MemoryPart> Parts => parts;

        public long Bytes => parts.Sum(part => part.Bytes);

        public void Add(string name, long bytes)
        {
            if (bytes > 0)
            {
                parts.Add(new MemoryPart(name, bytes));
            }
        }
    }
}
