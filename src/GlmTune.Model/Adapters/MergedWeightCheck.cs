using GlmTune.Kernels;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>Checks that each weight of a merged layer is the sum of weight and delta, computed in float32 and rounded
/// once.</summary>
/// <remarks>The sum is recomputed in float64. The error of float32 is bounded by the sum of the magnitudes of all
/// terms; rounding is monotonic, so the merged weight must lie between the two ends of that range, both rounded to its
/// type. No tolerance is guessed.</remarks>
internal static class MergedWeightCheck
{
    private const long ChunkElements = 1 << 22;

    /// <summary>What is wrong with a merged weight; null if nothing is.</summary>
    /// <param name="adapter">The adapter; the weight of its layer is still the base's.</param>
    /// <param name="merged">The merged weight, [out, in], in the type that is stored.</param>
    public static string? FindProblem(LowRankAdapter adapter, Tensor merged)
    {
        using var scope = NewDisposeScope();
        var (weight, a) = (adapter.Linear.Weight.Value, adapter.StackedA.to_type(ScalarType.Float64));
        var scales = tensor(adapter.ColumnScales(), ScalarType.Float64, weight.device);
        var gains = adapter.OutputGains()?.to_type(ScalarType.Float64);
        // Each product and sum rounds once; the scale, the weight and the gain add a few more roundings.
        var unit = (a.shape[0] + 8) * (merged.dtype == ScalarType.Float64 ? Math.Pow(2, -52) : Math.Pow(2, -23));
        var rows = Math.Max(1, ChunkElements / weight.shape[1]);
        for (long first = 0; first < weight.shape[0]; first += rows)
        {
            using var chunk = NewDisposeScope();
            var count = Math.Min(rows, weight.shape[0] - first);
            var found = merged.narrow(0, first, count);
            if (!found.isfinite().all().item<bool>())
            {
                return "it holds numbers that are not finite";
            }

            var b = adapter.BlockB.narrow(0, first, count).to_type(ScalarType.Float64) * scales;
            var wide = weight.narrow(0, first, count).to_type(ScalarType.Float64);
            var sum = wide.Add(b.mm(a));
            var spread = wide.abs().Add(b.abs().mm(a.abs())).Multiply(unit);
            if (gains is not null)
            {
                var gain = gains.narrow(0, first, count).unsqueeze(1);
                (sum, spread) = (sum * gain, spread * gain.abs());
            }

            var outside = (found < (sum - spread).to_type(merged.dtype)).logical_or(
                found > sum.Add(spread).to_type(merged.dtype)
            );
            var wrong = outside.sum().item<long>();
            if (wrong > 0)
            {
                return $"{wrong} of {found.numel()} weights are not the sum of weight and delta, rounded once";
            }
        }

        return null;
    }
}
