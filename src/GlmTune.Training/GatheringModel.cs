using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training;

/// <summary>A model whose weights are in slices on the ranks, for evaluation and generation: each pass gathers its
/// layers one after another.</summary>
/// <remarks>Every pass is made by all ranks at the same time, each with tokens of its own. Owns neither the model nor
/// the sharding.</remarks>
/// <param name="model">The model.</param>
/// <param name="sharding">Who holds what.</param>
public sealed class GatheringModel(Glm4Model model, ISharding sharding) : ICausalLm
{
    /// <inheritdoc/>
    public Glm4Config Config => model.Config;

    /// <inheritdoc/>
    public Device Device => model.Device;

    /// <inheritdoc/>
    public int VirtualTokens => model.VirtualTokens;

    /// <inheritdoc/>
    public KvCache NewCache(int slots, int capacity) => model.NewCache(slots, capacity);

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">Rows have adapters of their own, which a model in training has
    /// not.</exception>
    public Tensor Logits(
        int[] tokenIds,
        SequenceLayout sequences,
        CacheStep? cache = null,
        bool lastOnly = false,
        IReadOnlyList<ServedAdapter?>? adapters = null
    )
    {
        if (adapters is not null)
        {
            throw new ArgumentException(
                "Rows with adapters of their own are not run on a model in training.",
                nameof(adapters)
            );
        }

        using var scope = NewDisposeScope();
        using var context = model.Context(sequences, cache: cache);
        var hidden = Hidden(tokenIds, context);
        if (lastOnly)
        {
            var last = tensor(sequences.Starts.Skip(1).Select(end => end - 1L).ToArray()).to(Device);
            hidden = hidden.index_select(0, last);
        }

        return OfHead(head => head.Logits(hidden, context)).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets)
    {
        using var scope = NewDisposeScope();
        using var context = model.Context(sequences);
        var hidden = Hidden(tokenIds, context);
        return OfHead(head => head.Loss(hidden, targets, context, gradientScale: null).Loss)
            .to_type(ScalarType.Float64)
            .item<double>();
    }

    private Tensor Hidden(int[] tokenIds, LayerContext context)
    {
        using var scope = NewDisposeScope();
        sharding.BeginPass([model.Embedding, .. model.Layers, model.Head], lastOfStep: true);
        sharding.Unshard(model.Embedding);
        var x = model.Embedding.Forward(model.Ids(tokenIds), context.Kernels);
        sharding.Reshard(model.Embedding);
        foreach (var layer in model.Layers)
        {
            sharding.Unshard(layer);
            var next = layer.Forward(x, context, tape: null);
            sharding.Reshard(layer);
            x.Dispose();
            x = next;
        }

        return x.MoveToOuterDisposeScope();
    }

    private Tensor OfHead(Func<OutputHead, Tensor> run)
    {
        sharding.Unshard(model.Head);
        var result = run(model.Head);
        sharding.Reshard(model.Head);
        return result;
    }
}
