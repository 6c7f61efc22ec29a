using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using GlmTune.Training.Sharding;
using TorchSharp;

namespace GlmTune.Training;

/// <summary>Spends memory that nothing else needs on time: the frozen down projections are kept transposed as well.</summary>
/// <remarks>
/// Their gradient's product, whose result is wide and whose sum is short, is where libraries lose most by a weight that is not laid out for it;
/// <c>benchmarks/results</c> has the figures. Other products gain nothing.
/// </remarks>
public static class TransposedWeights
{
    // For what the plan of memory does not see.
    private const long Margin = 6L << 30;

    /// <summary>Keeps them where no activation has to be recomputed and there is room to spare on a GPU.</summary>
    /// <param name="model">Adapters and optimizer state are in memory already.</param>
    /// <param name="tokens">Tokens of the largest pass.</param>
    /// <param name="plan">What is recomputed of it.</param>
    /// <param name="sharding">Who holds what: alone, weights stay where they are.</param>
    /// <returns>Bytes that they take.</returns>
    public static long KeepWhereRoom(Glm4Model model, long tokens, RecomputePlan plan, ISharding sharding)
    {
        var weights = model.Layers.Select(layer => layer.FeedForward.Down.Weight).Where(weight => weight is { Trainable: false, Rounded: null, IsLoaded: true }).ToList();
        var bytes = weights.Sum(weight => weight.Count * Parameter.BytesOf(weight.Type));
        if (model.Device.type != DeviceType.CUDA || bytes == 0 || !sharding.Alone || plan != new RecomputePlan(0, 0) || RecomputePlan.SpareBytes(model, tokens) < bytes + Margin)
        {
            return 0;
        }
        weights.ForEach(weight => weight.KeepTransposed());
        return bytes;
    }
}
