using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training;

/// <summary>A model with sharded weights, for evaluation and generation: each pass gathers its layers one after
/// another.</summary>
/// <remarks>All ranks run every pass at the same time, each with its own tokens. Owns neither the model nor the
/// sharding.</remarks>
/// <param name="model">The model.</param>
/// <param name="sharding">How parameters are distributed over the ranks.</param>
internal sealed class GatheringModel(DecoderModel model, ISharding sharding) : DelegatingCausalLm(model)
{
    /// <inheritdoc/>
    public override Tensor Logits(
        int[] tokenIds,
        SequenceLayout sequences,
        CacheStep? cache = null,
        bool lastOnly = false,
        IReadOnlyList<ServedAdapter?>? adapters = null
    )
    {
        BeginPass();
        return model.Logits(tokenIds, sequences, sharding, cache, lastOnly, adapters);
    }

    /// <inheritdoc/>
    public override double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets)
    {
        BeginPass();
        return model.Loss(tokenIds, sequences, targets, sharding);
    }

    /// <summary>Always null: a decoder reads all weights in place.</summary>
    /// <inheritdoc/>
    public override IDecoder? NewDecoder(KvCache cache, int vocabularySize) => null;

    private void BeginPass() => sharding.BeginPass([model.Embedding, .. model.Layers, model.Head], lastOfStep: true);
}
