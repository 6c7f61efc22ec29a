using GlmTune.Kernels.Memory;
using GlmTune.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training;

/// <summary>What the backward pass recomputes, so that a pass fits into free memory.</summary>
/// <param name="Whole">Number of decoder layers of which only the input is kept, counted from the first.</param>
/// <param name="Selective">Further layers that keep everything but what comes cheap: outputs of norms and of
/// SwiGLU.</param>
/// <remarks>Source of recomputation: Chen et al., arXiv:1604.06174; of selective recomputation: Korthikanti et al.,
/// arXiv:2205.05198, section 5.</remarks>
internal sealed record RecomputePlan(int Whole, int Selective)
{
    private const double Usable = 0.92;

    /// <summary>The least recomputation that fits: none, then cheap parts, then whole layers; none on the
    /// CPU.</summary>
    /// <param name="model">The model; weights, adapters and optimizer state are already in memory.</param>
    /// <param name="tokens">Number of tokens in the largest pass.</param>
    /// <param name="passing">Bytes that sharding needs during a pass:
    /// <see cref="Sharding.ISharding.PassingBytes"/>.</param>
    public static RecomputePlan For(DecoderModel model, long tokens, long passing = 0)
    {
        if (DeviceMemory.Of(model.Device) is not { } memory)
        {
            return new RecomputePlan(0, 0);
        }

        return For(
            memory.Free,
            model.Config,
            model.Type,
            tokens,
            KeptPerToken(model),
            KeptPerToken(model, selective: true),
            model.Head.ChunkRows,
            passing
        );
    }

    /// <summary>The least recomputation that fits into so much free memory.</summary>
    /// <param name="free">Free bytes of the device once weights, adapters and optimizer state are there.</param>
    /// <param name="config">Configuration of the model.</param>
    /// <param name="type">Type in which layers compute.</param>
    /// <param name="tokens">Number of tokens in the largest pass.</param>
    /// <param name="kept">Bytes of activations per token in a decoder layer without recomputation.</param>
    /// <param name="selective">The same with cheap parts recomputed.</param>
    /// <param name="headRows">Tokens whose logits exist at a time.</param>
    /// <param name="passing">Bytes that sharding needs during a pass.</param>
    public static RecomputePlan For(
        long free,
        ModelConfig config,
        ScalarType type,
        long tokens,
        long kept,
        long selective,
        int headRows,
        long passing
    )
    {
        var size = type.ElementSize();
        var inputs = tokens * config.HiddenSize * size * config.LayerCount;
        // One layer's forward and backward at a time, and a chunk of the output head with its gradient.
        var working =
            tokens * size * ((6L * config.FeedForwardSize) + (6L * config.HiddenSize))
            + (3L * Math.Min(tokens, headRows) * config.VocabularySize * size);
        return Fit(
            (long)(free * Usable) - inputs - working - passing,
            config.LayerCount,
            tokens * kept,
            tokens * selective
        );
    }

    /// <summary>The least recomputation that fits, given the bytes free for activations.</summary>
    /// <param name="free">Free bytes; may be negative.</param>
    /// <param name="layers">Number of decoder layers.</param>
    /// <param name="kept">Bytes of activations in a layer without recomputation.</param>
    /// <param name="selective">Bytes that a layer keeps of which cheap parts are recomputed.</param>
    public static RecomputePlan Fit(long free, int layers, long kept, long selective)
    {
        var missing = (layers * kept) - free;
        if (missing <= 0)
        {
            return new RecomputePlan(0, 0);
        }

        var saved = kept - selective;
        if (saved > 0 && missing <= layers * saved)
        {
            return new RecomputePlan(0, (int)((missing + saved - 1) / saved));
        }

        var fitting = (int)Math.Clamp(free / Math.Max(1, selective), 0, layers);
        return new RecomputePlan(layers - fitting, saved > 0 ? fitting : 0);
    }

    /// <summary>Bytes of activations per token in a decoder layer.</summary>
    /// <param name="model">The model, with adapters attached.</param>
    /// <param name="selective">Whether norms and SwiGLU are computed again.</param>
    public static long KeptPerToken(DecoderModel model, bool selective = false) =>
        model.Layers[^1].KeptPerToken(selective) * model.Type.ElementSize();

    /// <summary>A description for the log.</summary>
    public string Describe() =>
        (Whole, Selective) switch
        {
            (0, 0) => "nothing recomputed",
            (0, _) => $"norms and SwiGLU of {Selective} layers recomputed",
            (_, 0) => $"{Whole} layers recomputed",
            _ => $"{Whole} layers recomputed, and norms and SwiGLU of {Selective} more",
        };
}
