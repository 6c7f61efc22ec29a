using GlmTune.Collectives;
using GlmTune.Model;

namespace GlmTune.Training.Sharding;

/// <summary>How a model is trained by ranks that each see other rows: plain data parallel, or one of ZeRO's
/// stages.</summary>
public static class DataParallel
{
    /// <summary>Spreads what is trained of <paramref name="model"/> as <paramref name="options"/> say.</summary>
    /// <param name="options">Stage, buckets and so on.</param>
    /// <param name="model">Adapters attached, and what is trained marked so; the same on each rank. Weights are in
    /// memory but those in <paramref name="slices"/>.</param>
    /// <param name="ranks">The ranks; null: alone.</param>
    /// <param name="slices">Stage 3: what was taken while the model was loaded; passes to the result. Null: it is taken
    /// now.</param>
    /// <returns>The caller disposes it, before the model.</returns>
    public static ISharding For(
        ShardingOptions options,
        DecoderModel model,
        ICollectives? ranks = null,
        WeightSlices? slices = null
    ) =>
        options.Stage == 3
            ? new ShardedParameters(options, model, ranks ?? new SingleRank(model.Device), slices)
            : new ReplicatedWeights(model.Units, ranks, options, model.BaseParameters.ToHashSet());
}
