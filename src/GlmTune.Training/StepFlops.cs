using GlmTune.Data.Batching;
using GlmTune.Model;

namespace GlmTune.Training;

/// <summary>Floating-point operations that a step needs, recomputation not counted: those of the forward pass, of input
/// gradients, and of the gradients of trained weights.</summary>
internal static class StepFlops
{
    // Attention's backward pass has five products where the forward pass has two; causal attention computes half.
    private const double AttentionPasses = 3.5;

    /// <summary>The operations of a micro-batch.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="trainsWeights">Whether the model's own weights are trained, rather than an adapter.</param>
    /// <param name="batch">The micro-batch.</param>
    public static double Of(ModelConfig config, bool trainsWeights, MicroBatch batch)
    {
        var starts = batch.SequenceStarts;
        var squares = starts.Zip(starts.Skip(1), (from, to) => (double)(to - from) * (to - from)).Sum();
        var passes = trainsWeights ? 3 : 2;
        var layers = batch.TokenIds.Length * config.LayerCount * (double)config.ParametersPerLayer;
        var head = batch.SupervisedTokens * (double)config.VocabularySize * config.HiddenSize;
        return (2 * passes * (layers + head))
            + (AttentionPasses * squares * config.LayerCount * 2.0 * config.Heads.QueryWidth);
    }
}
