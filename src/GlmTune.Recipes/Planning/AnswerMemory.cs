using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Planning;

/// <summary>The memory that answers side by side take, predicted from configuration and lengths alone.</summary>
internal static class AnswerMemory
{
    // Gate, up and their product, the fused queries, keys and values, and the residual stream with its norm.
    private const int ResidualTensors = 4;

    /// <summary>Weights, the cache of all answers, and one pass over prompts; name and bytes of each.</summary>
    /// <param name="config">Configuration of the model.</param>
    /// <param name="type">Type of the weights.</param>
    /// <param name="answers">Answers side by side.</param>
    /// <param name="tokens">Tokens of each, prompt included.</param>
    /// <param name="passTokens">Tokens of a pass over prompts.</param>
    /// <param name="cacheBytes">Most bytes of keys and values, unless one answer needs more.</param>
    /// <param name="frozen">How the weights of the layers are stored; null: in <paramref name="type"/>.</param>
    public static IReadOnlyList<MemoryPart> For(
        ModelConfig config,
        ScalarType type,
        int answers,
        long tokens,
        long passTokens,
        long cacheBytes,
        FrozenType? frozen = null
    )
    {
        long size = type.ElementSize();
        var each = 2L * config.LayerCount * config.Heads.KeyValueWidth * size * tokens;
        return
        [
            new("weights", FrozenBytes.OfModel(config, frozen, backward: false, size)),
            new("keys and values", Math.Max(each, Math.Min(answers * each, cacheBytes))),
            new(
                "a pass over prompts",
                passTokens
                    * size
                    * ((3L * config.FeedForwardSize) + config.Heads.FusedWidth + (ResidualTensors * config.HiddenSize))
            ),
            new("logits", size * answers * config.VocabularySize),
        ];
    }

    /// <summary>Refuses answers that cannot fit.</summary>
    /// <param name="parts">From <see cref="For"/>.</param>
    /// <param name="free">Free bytes of the device; null: not known, and nothing is refused.</param>
    /// <param name="where">What messages call the device.</param>
    /// <param name="less">What to change; a sentence.</param>
    /// <exception cref="InvalidDataException">They need more than is free.</exception>
    public static void Require(IReadOnlyList<MemoryPart> parts, long? free, string where, string less)
    {
        var needed = parts.Sum(part => part.Bytes);
        if (free is { } bytes && needed > bytes)
        {
            throw new InvalidDataException(
                $"The answers do not fit: they need {ByteCount.Text(needed)} "
                    + $"({string.Join(", ", parts.Select(part => $"{part.Name} {ByteCount.Text(part.Bytes)}"))}); "
                    + $"{ByteCount.Text(bytes)} are free on {where}. Nothing was loaded. {less}"
            );
        }
    }
}
