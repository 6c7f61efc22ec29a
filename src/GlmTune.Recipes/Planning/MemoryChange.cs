using System.Globalization;
using GlmTune.Kernels.Definitions;
using GlmTune.Training;
using GlmTune.Training.Sharding;

namespace GlmTune.Recipes.Planning;

/// <summary>A setting that makes training need less memory; except for <see cref="MemoryChangeKind.Quantization"/>, the
/// last resort below an adapter, it does not change the results.</summary>
/// <param name="Kind">Which one.</param>
/// <param name="Value">Its number, where it has one.</param>
internal sealed record MemoryChange(MemoryChangeKind Kind, long Value = 0)
{
    /// <summary>As a recipe has it, <c>key: value</c>.</summary>
    public override string ToString() =>
        Kind switch
        {
            MemoryChangeKind.Recompute => "training_args.gradient_checkpointing: auto",
            MemoryChangeKind.PackLength => Text("training_args.pack_length: {0}"),
            MemoryChangeKind.Rows => Text("training_args.per_device_train_batch_size: {0}"),
            MemoryChangeKind.OffloadEmbedding => "training_args.offload_embedding: true",
            MemoryChangeKind.OffloadActivations => "training_args.offload_activations: true",
            MemoryChangeKind.Quantization => "quantization: nf4",
            MemoryChangeKind.OffloadOptimizer => "training_args.offload_optimizer: true",
            _ => "training_args.offload_param: true",
        };

    /// <summary>As <c>glmtune bench train</c> has it.</summary>
    public string BenchOption =>
        Kind switch
        {
            MemoryChangeKind.Recompute => "omit --recompute and --recompute-cheap",
            MemoryChangeKind.PackLength or MemoryChangeKind.Rows => Text("--rows {0}"),
            MemoryChangeKind.OffloadEmbedding => "--offload-embedding",
            MemoryChangeKind.OffloadActivations => "--offload-activations",
            MemoryChangeKind.Quantization => "--quantization nf4",
            MemoryChangeKind.OffloadOptimizer => "--offload-optimizer",
            _ => "--offload-param",
        };

    /// <summary>The changes that a demand allows, the cheapest in speed first.</summary>
    internal static IEnumerable<MemoryChange> Possible(MemoryDemand demand)
    {
        if (demand.Recompute is { } fixedPlan && fixedPlan.Whole < demand.Config.LayerCount)
        {
            yield return new MemoryChange(MemoryChangeKind.Recompute);
        }

        if (demand.Rows is { } rows)
        {
            for (var fewer = rows / 2; fewer >= 1 && demand.MinTokens is not null; fewer /= 2)
            {
                yield return new MemoryChange(MemoryChangeKind.Rows, fewer);
            }
        }
        else if (demand.MinTokens is { } least)
        {
            for (var tokens = demand.Tokens; tokens > least;)
            {
                tokens = Math.Max(least, tokens / 2);
                yield return new MemoryChange(MemoryChangeKind.PackLength, tokens);
            }
        }

        if (demand is { TrainsAdapter: true, OffloadEmbedding: false, Sharding.Stage: < 3 })
        {
            yield return new MemoryChange(MemoryChangeKind.OffloadEmbedding);
        }

        if (!demand.OffloadActivations)
        {
            yield return new MemoryChange(MemoryChangeKind.OffloadActivations);
        }

        if (demand is { TrainsAdapter: true, Frozen: not FrozenType.Nf4, Sharding.Stage: < 3 } && demand.CanQuantize)
        {
            yield return new MemoryChange(MemoryChangeKind.Quantization);
        }

        if (demand is { TrainsAdapter: false, Sharding.OffloadOptimizer: false })
        {
            yield return new MemoryChange(MemoryChangeKind.OffloadOptimizer);
        }

        if (demand is { TrainsAdapter: false, Sharding.OffloadParameters: false })
        {
            yield return new MemoryChange(MemoryChangeKind.OffloadParameters);
        }
    }

    internal MemoryDemand Apply(MemoryDemand demand) =>
        Kind switch
        {
            MemoryChangeKind.Recompute => demand with { Recompute = null },
            MemoryChangeKind.PackLength => demand with { Tokens = Value },
            MemoryChangeKind.Rows => demand with
            {
                Tokens = Value * demand.LongestSequence,
                Rows = (int)Value,
                AccumulationSteps = (int)(demand.AccumulationSteps * (demand.Rows ?? Value) / Value),
                Sharding = Apply(demand.Sharding),
            },
            MemoryChangeKind.OffloadEmbedding => demand with { OffloadEmbedding = true },
            MemoryChangeKind.OffloadActivations => demand with
            {
                OffloadActivations = true,
                CudaGraphs = false,
                Recompute = new RecomputePlan(demand.Config.LayerCount, 0),
            },
            MemoryChangeKind.Quantization => demand with { Frozen = FrozenType.Nf4 },
            _ => demand with { Sharding = Apply(demand.Sharding) },
        };

    /// <summary>A recipe with the change. Fewer rows at a time become as many more micro-batches.</summary>
    internal Recipe Apply(Recipe recipe)
    {
        var training = recipe.Training;
        return recipe with
        {
            Training = Kind switch
            {
                MemoryChangeKind.Recompute => training with { Recompute = RecomputeMode.Auto },
                MemoryChangeKind.PackLength => training with { PackLength = (int)Value },
                MemoryChangeKind.Rows => training with
                {
                    MicroBatchSize = (int)Value,
                    AccumulationSteps = training.AccumulationSteps * training.MicroBatchSize / (int)Value,
                },
                MemoryChangeKind.OffloadEmbedding => training with { OffloadEmbedding = true },
                MemoryChangeKind.OffloadActivations => training with
                {
                    OffloadActivations = true,
                    Recompute = RecomputeMode.All,
                },
                MemoryChangeKind.Quantization => training with { Quantization = BaseQuantization.Nf4, Fp8Base = false },
                _ => training,
            },
        };
    }

    internal ShardingOptions Apply(ShardingOptions sharding) =>
        Kind switch
        {
            // More micro-batches per step.
            MemoryChangeKind.Rows => sharding with { UpdatesByLayer = false },
            MemoryChangeKind.OffloadOptimizer => sharding.WithOptimizerOnHost(),
            MemoryChangeKind.OffloadParameters => sharding.WithParametersOnHost(),
            _ => sharding,
        };

    private string Text(string format) => string.Format(CultureInfo.InvariantCulture, format, Value);
}

/// <summary>What a <see cref="MemoryChange"/> changes.</summary>
internal enum MemoryChangeKind
{
    /// <summary>Activations are recomputed where they do not fit.</summary>
    Recompute,

    /// <summary>Shorter packed sequences.</summary>
    PackLength,

    /// <summary>Fewer rows at a time.</summary>
    Rows,

    /// <summary>The embedding table in host memory.</summary>
    OffloadEmbedding,

    /// <summary>The inputs of the layers in host memory, between forward and backward pass.</summary>
    OffloadActivations,

    /// <summary>Frozen weights in nf4, which changes the results slightly.</summary>
    Quantization,

    /// <summary>Master weights and moments in host memory.</summary>
    OffloadOptimizer,

    /// <summary>Weights in host memory, by ZeRO stage 3.</summary>
    OffloadParameters,
}
