using GlmTune.Collectives;
using GlmTune.Model;

namespace GlmTune.Training.Sharding;

/// <summary>Data-parallel training of a model by ranks with different rows: without sharding, or with a ZeRO
/// stage.</summary>
internal static class DataParallel
{
    /// <summary>Distributes the trained parameters of <paramref name="model"/> according to
    /// <paramref name="options"/>.</summary>
    /// <param name="options">ZeRO stage, bucket sizes and so on.</param>
    /// <param name="model">The model, with adapters attached and trained parameters marked; the same on each rank. Its
    /// weights are in memory, except those in <paramref name="slices"/>.</param>
    /// <param name="ranks">The ranks; null: a single rank.</param>
    /// <param name="slices">For stage 3: the slices taken while the model was loaded, which then belong to the result.
    /// Null: they are taken now.</param>
    /// <returns>The sharding; the caller disposes it before the model.</returns>
    public static ISharding For(
        ShardingOptions options,
        DecoderModel model,
        ICollectives? ranks = null,
        WeightSlices? slices = null
    ) =>
        options.Stage == 3
            ? new ShardedParameters(options, model, ranks ?? new SingleRank(model.Device), slices)
            : new ReplicatedWeights(model.Units, ranks, options, model.BaseParameters.ToHashSet(), model.Kernels);
}
