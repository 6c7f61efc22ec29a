using GlmTune.Kernels;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;

namespace GlmTune.Training;

/// <summary>How many decoder layers are recomputed so that a pass fits the memory that is free.</summary>
/// <remarks>Source of the trade: Chen et al., arXiv:1604.06174.</remarks>
public static class RecomputePlan
{
    private const double Usable = 0.92;

    /// <summary>Layers to recompute, counted from the first; 0 on the CPU.</summary>
    /// <param name="model">Weights, adapters and optimizer state are in memory already.</param>
    /// <param name="tokens">Tokens of the largest pass.</param>
    public static int LayersFor(Glm4Model model, long tokens)
    {
        if (DeviceMemory.Of(model.Device) is not { } memory)
        {
            return 0;
        }
        var size = Parameter.BytesOf(model.Type);
        var config = model.Config;
        var inputs = (long)tokens * config.HiddenSize * size * config.LayerCount;
        // One layer's forward and backward at a time, and the output head's chunk with its gradient.
        var passing = tokens * size * ((6L * config.FeedForwardSize) + (6L * config.HiddenSize))
            + (3L * Math.Min(tokens, OutputHead.ChunkRows) * config.VocabularySize * size);
        var free = (long)(memory.Free * Usable) - inputs - passing;
        var kept = Math.Clamp(free / Math.Max(1, tokens * KeptPerToken(model)), 0, config.LayerCount);
        return config.LayerCount - (int)kept;
    }

    /// <summary>Bytes that a kept decoder layer holds for each token.</summary>
    public static long KeptPerToken(Glm4Model model)
    {
        var (config, layer) = (model.Config, model.Layers[^1]);
        var elements = (2L * config.HiddenSize) + config.Heads.FusedWidth + config.Heads.QueryWidth + (2L * config.FeedForwardSize);
        foreach (var linear in (Linear[])[layer.Attention.QueryKeyValue, layer.Attention.Output, layer.FeedForward.GateUp, layer.FeedForward.Down])
        {
            elements += linear.Weight.Trainable || linear.Adapters.Count > 0 ? linear.InputWidth : 0;
        }
        return elements * Parameter.BytesOf(model.Type);
    }
}
