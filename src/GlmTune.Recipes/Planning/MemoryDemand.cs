using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using GlmTune.Training;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Planning;

/// <summary>What decides how much memory training takes: the numbers that <see cref="MemoryPlan"/> is computed
/// from.</summary>
internal sealed record MemoryDemand
{
    /// <summary>Configuration of the model.</summary>
    public required ModelConfig Config { get; init; }

    /// <summary>Type in which layers compute.</summary>
    public ScalarType Type { get; init; } = ScalarType.BFloat16;

    /// <summary>The low-rank adapter that is trained; null: none.</summary>
    public LoraOptions? Lora { get; init; }

    /// <summary>The prefix that is trained; null: none.</summary>
    public PrefixTuningOptions? Prefix { get; init; }

    /// <summary>What is sharded over the ranks.</summary>
    public ShardingOptions Sharding { get; init; } = new();

    /// <summary>Number of ranks.</summary>
    public int Ranks { get; init; } = 1;

    /// <summary>Tokens of the largest pass on one rank, over all its sequences.</summary>
    public required long Tokens { get; init; }

    /// <summary>Tokens of the longest sequence.</summary>
    public long LongestSequence { get; init; }

    /// <summary>Fewest tokens that a pass may be reduced to; null: <see cref="Tokens"/> cannot be reduced.</summary>
    public long? MinTokens { get; init; }

    /// <summary>Rows of a pass, which are not packed; null: it is packed.</summary>
    public int? Rows { get; init; }

    /// <summary>Micro-batches of a step.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>What is recomputed; null: as little as fits.</summary>
    public RecomputePlan? Recompute { get; init; }

    /// <summary>How the frozen weights of the layers are stored; null: in <see cref="Type"/>.</summary>
    public FrozenType? Frozen { get; init; }

    /// <summary>Whether the frozen weights may be quantized: they are not yet, and no whole weight of a layer is
    /// trained beside the adapter.</summary>
    public bool CanQuantize => Config.Stored is null && Lora is not { ModulesToSave.Count: > 0 };

    /// <summary>Whether the embedding table is in host memory.</summary>
    public bool OffloadEmbedding { get; init; }

    /// <summary>Whether the inputs of the layers are in host memory between forward and backward pass; then every layer
    /// is recomputed.</summary>
    public bool OffloadActivations { get; init; }

    /// <summary>Tokens that a feed-forward block processes at a time in a long pass of which every layer is
    /// recomputed.</summary>
    public int TileTokens { get; init; } = LayerContext.DefaultTileTokens;

    /// <summary>Tokens whose logits exist at a time; null: as the run decides.</summary>
    public int? HeadRows { get; init; }

    /// <summary>Whether small passes are captured as CUDA graphs.</summary>
    public bool CudaGraphs { get; init; } = true;

    /// <summary>Whether checkpoints are copied to host memory and written behind training.</summary>
    public bool CopiesCheckpoints { get; init; }

    /// <summary>Whether checkpoints have AdamW's moments.</summary>
    public bool SavesMoments { get; init; } = true;

    /// <summary>Whether CUDA's own memory counts as well: of a GPU that no program uses yet.</summary>
    public bool WithContext { get; init; }

    /// <summary>Whether what is trained has copies in full precision.</summary>
    public bool HasMasters => TrainsAdapter || Sharding.State.MasterWeights;

    /// <summary>Whether an adapter is trained and the model frozen.</summary>
    public bool TrainsAdapter => Lora is not null || Prefix is not null;

    /// <summary>The demand of a recipe.</summary>
    /// <param name="config">Configuration of the model.</param>
    /// <param name="recipe">The recipe, everything resolved.</param>
    /// <param name="sharding">What is sharded over the ranks.</param>
    /// <param name="ranks">Number of ranks.</param>
    /// <param name="type">Type in which layers compute.</param>
    /// <param name="longest">Tokens of the longest row; null: the longest that the recipe allows.</param>
    public static MemoryDemand Of(
        ModelConfig config,
        Recipe recipe,
        ShardingOptions sharding,
        int ranks,
        ScalarType type,
        int? longest = null
    )
    {
        var training = recipe.Training;
        var row = longest ?? recipe.Data.Template.MaxTrainingTokens;
        // Packing is on by default on a GPU.
        var packed = (recipe with { Training = training with { Packing = training.Packing ?? true } })
            .Batches
            .PackedTokens;
        var shared = training.SequenceParallelSize;
        return new MemoryDemand
        {
            Config = config,
            Type = type,
            Lora = recipe.Lora,
            Prefix = recipe.Prefix,
            Sharding = sharding,
            Ranks = ranks,
            Tokens = ((packed ?? ((long)row * training.MicroBatchSize)) + shared - 1) / shared,
            LongestSequence = row,
            MinTokens =
                shared > 1 ? null
                : packed is null ? row
                : recipe.Data.Template.MaxTrainingTokens,
            Rows = packed is null ? training.MicroBatchSize : null,
            AccumulationSteps = training.AccumulationSteps,
            Recompute = training.Recompute switch
            {
                _ when training.OffloadActivations => new RecomputePlan(config.LayerCount, 0),
                RecomputeMode.All => new RecomputePlan(config.LayerCount, 0),
                RecomputeMode.Selective => new RecomputePlan(0, config.LayerCount),
                RecomputeMode.None => new RecomputePlan(0, 0),
                _ => null,
            },
            Frozen = training.FrozenType,
            OffloadEmbedding = training.OffloadEmbedding,
            OffloadActivations = training.OffloadActivations,
            CudaGraphs = training.CudaGraphs,
            CopiesCheckpoints = training is { SaveAsync: true, SaveStrategy: not IntervalStrategy.No },
            SavesMoments = !training.SaveOnlyModel,
        };
    }

    /// <summary>Sizes that follow from the model's layers and from what is attached to them.</summary>
    internal LayerSizes Sizes()
    {
        NativeRuntime.Load();
        // A layout without weights; rank 1 is enough to see which inputs are kept.
        using var model = Config.NewModel(Type, CPU);
        if (Lora is { } lora)
        {
            using var attached = GlmTune.Model.Adapters.Lora.Attach(
                model,
                lora with
                {
                    Rank = 1,
                    RankPattern = [],
                    UseDora = false,
                }
            );
            return LayerSizes.Of(model, Config, trained: LoraCount(model, lora) + SavedCount(attached));
        }

        if (Prefix is { } prefix)
        {
            using var attached = PrefixTuning.Attach(model, prefix);
            return LayerSizes.Of(model, Config, attached.Parameters.Sum(parameter => parameter.Count));
        }

        foreach (var parameter in model.BaseParameters)
        {
            parameter.Trainable = true;
        }

        return LayerSizes.Of(model, Config, Config.ParameterCount);
    }

    private long LoraCount(DecoderModel model, LoraOptions lora)
    {
        var targets = lora.TargetModules ?? model.Names.DefaultTargets(Config.Layout);
        return model
            .Names.Linears(model, Config.Layout)
            .Where(slice => GlmTune.Model.Adapters.Lora.IsTarget(slice, targets))
            .Sum(slice =>
                (GlmTune.Model.Adapters.Lora.RankOf(slice.Name, lora) * (slice.Linear.InputWidth + slice.Rows))
                + (lora.UseDora ? slice.Rows : 0)
            );
    }

    private static long SavedCount(Lora attached) =>
        attached.SavedWeights.Select(slice => slice.Parameter).Distinct().Sum(parameter => parameter.Count);
}

/// <summary>Sizes of a model with what is trained on it, in numbers.</summary>
/// <param name="Trained">Parameters that are trained.</param>
/// <param name="Kept">Of one token, by a decoder layer of which nothing is recomputed.</param>
/// <param name="KeptSelectively">Of one token, by a decoder layer of which cheap parts are recomputed.</param>
/// <param name="KeptByFeedForward">Of one token, by the feed-forward block of a layer of which nothing is recomputed,
/// except its input.</param>
/// <param name="LargestUnit">Parameters of the largest unit that is gathered at a time.</param>
/// <param name="TwoLargestUnits">Parameters of the two largest units.</param>
/// <param name="TrainsHead">Whether the output head is trained.</param>
/// <param name="TrainsEmbedding">Whether the embedding is trained.</param>
internal sealed record LayerSizes(
    long Trained,
    long Kept,
    long KeptSelectively,
    long KeptByFeedForward,
    long LargestUnit,
    long TwoLargestUnits,
    bool TrainsHead,
    bool TrainsEmbedding
)
{
    public static LayerSizes Of(DecoderModel model, ModelConfig config, long trained)
    {
        var layer = model.Layers[^1];
        var units = model.Units.Select(Count).OrderDescending().ToList();
        return new LayerSizes(
            trained,
            layer.KeptPerToken(selective: false),
            layer.KeptPerToken(selective: true),
            layer.FeedForward.KeptPerToken,
            units[0],
            units.Take(2).Sum(),
            model.Head.Projection.Weight.Trainable,
            model.Embedding.HasTrainable
        );
    }

    private static long Count(Layer unit) => unit.Parameters.Sum(parameter => parameter.Count);
}
