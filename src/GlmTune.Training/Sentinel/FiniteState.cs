using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Sentinel;

/// <summary>Whether the state of a run, and its gradients, are finite.</summary>
internal static class FiniteState
{
    /// <summary>Checks weights and moments.</summary>
    /// <param name="shards">This rank's state.</param>
    /// <param name="done">Number of finished steps, for the message.</param>
    /// <exception cref="InvalidDataException">Some are not finite; the message names the parameters.</exception>
    public static void Check(IEnumerable<FlatShard> shards, long done)
    {
        List<string> names = [];
        foreach (var shard in shards)
        {
            using var scope = NewDisposeScope();
            if (!IsFinite(shard.Master) || !shard.Moments.Tensors.All(IsFinite))
            {
                names.Add(NameOf(shard));
            }
        }

        if (names.Count > 0)
        {
            throw new InvalidDataException(
                $"After step {done}, weights or optimizer state are not finite: {string.Join(", ", names.Take(8))}"
                    + $"{(names.Count > 8 ? ", …" : "")}. Nothing was saved, and the last checkpoint is intact. A "
                    + "lower learning rate, or gradient clipping (max_grad_norm), usually helps."
            );
        }
    }

    /// <summary>The parameter with the largest gradient on this rank; if gradients are not finite, the first such in
    /// the backward pass, which goes from the head down. Null: there are no gradients.</summary>
    public static string? LargestGradient(IReadOnlyList<FlatShard> shards)
    {
        (FlatShard? Shard, double Squares) largest = (null, -1);
        foreach (var shard in shards.Reverse())
        {
            using var scope = NewDisposeScope();
            if (shard.CollectedGradient is not { } gradient)
            {
                continue;
            }

            if (!IsFinite(gradient))
            {
                return NameOf(shard);
            }

            var squares = GradientNorm.SumOfSquares(gradient).to_type(ScalarType.Float64).item<double>();
            largest = squares > largest.Squares ? (shard, squares) : largest;
        }

        return largest.Shard is null ? null : NameOf(largest.Shard);
    }

    // The sum needs no memory; only where it is not finite, which may also be an overflow, are the values looked at.
    private static bool IsFinite(Tensor values)
    {
        using var scope = NewDisposeScope();
        return double.IsFinite(values.sum().to_type(ScalarType.Float64).item<double>())
            || Pieces(values).All(piece => isfinite(piece).all().item<bool>());
    }

    private static IEnumerable<Tensor> Pieces(Tensor values)
    {
        const long longest = 1L << 24;
        for (var start = 0L; start < values.shape[0]; start += longest)
        {
            yield return values.narrow(0, start, Math.Min(longest, values.shape[0] - start));
        }
    }

    private static string NameOf(FlatShard shard) => shard.Segments[0].Parameter.Name;
}
