using GlmTune.Collectives;
using GlmTune.Model.Glm4;

namespace GlmTune.Training.Sharding;

/// <summary>How a model is trained by ranks that each see other rows: plain data parallel, or one of ZeRO's stages.</summary>
public static class DataParallel
{
    /// <summary>Spreads what is trained of <paramref name="model"/> as <paramref name="options"/> say.</summary>
    /// <param name="options">Stage, buckets and so on.</param>
    /// <param name="model">Weights in memory, adapters attached, and what is trained marked so; the same on each rank.</param>
    /// <param name="ranks">The ranks; null: alone.</param>
    /// <returns>The caller disposes it, before the model.</returns>
    public static ISharding For(ShardingOptions options, Glm4Model model, ICollectives? ranks = null)
        => new ReplicatedWeights(model.Units, ranks, options);
}
