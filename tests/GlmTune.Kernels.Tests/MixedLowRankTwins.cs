using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>Low-rank adapters of which each row uses its own, against float64.</summary>
internal static class MixedLowRankTwins
{
    /// <summary>Rows in any order: some without an adapter, more of one adapter than a tile takes, parts that begin and
    /// end within a warp's outputs, ranks of more than a step.</summary>
    public static void MixedLowRank(TwinCheck check, KernelTwins.Sizes sizes)
    {
        // The width is summed in parts of 2,048.
        var (width, outputs) = (sizes.Hidden + 2048, sizes.Heads.FusedWidth);
        LowRankPart[][] kinds =
        [
            [new(0, outputs, 8)],
            [new(0, outputs / 2, 8), new(outputs / 2, outputs - (outputs / 2), 24)],
            [new(5, 40, 40), new(45, 8, 16), new(outputs - 11, 11, 72)],
            [new(outputs - 3, 3, 16)],
        ];
        using var adapters = new MixedLowRank(kinds.Length + 3, check.Device);
        using var wide = new MixedLowRank(kinds.Length + 3, check.Device);
        var held = new List<LowRankFactors>();
        foreach (var (i, parts) in kinds.Index())
        {
            var columns = parts.Sum(part => part.Rank);
            var factors = new LowRankFactors(
                check.Random(columns, width).Multiply(1 / Math.Sqrt(width)),
                check.Random(parts.Sum(part => part.Rows * part.Rank)),
                check.RandomSingle(columns),
                parts
            );
            held.Add(factors);
            // Row 2 remains empty.
            var row = i == 0 ? 1 : i + 2;
            adapters.Set(row, factors);
            wide.Set(
                row,
                factors with
                {
                    A = TwinCheck.Wide(factors.A),
                    B = TwinCheck.Wide(factors.B),
                    Scales = TwinCheck.Wide(factors.Scales),
                }
            );
        }

        foreach (var count in (int[])[1, 3, 37])
        {
            var random = new Random(count);
            int[] used = [.. Enumerable.Range(0, count).Select(i => i % 2 == 0 ? 3 : random.Next(kinds.Length + 3))];
            using var rows = MixedRows.Of(used, check.Device);
            foreach (var added in (Tensor?[])[null, check.Random(outputs)])
            {
                var x = check.Random(count, width);
                Compare($"{count} rows{(added is null ? "" : ", bias")}", x, rows, added);
            }
        }

        // As in a captured pass: a tile for each row at most, most of them empty.
        using (
            var few = new MixedRows(
                tensor(new long[] { 1, 0, 1 }, device: check.Device),
                tensor(new long[] { 1, 0, 2 }, device: check.Device),
                tensor(new[] { 1L, (1L << 32) | (1 << 8) | 2, 0 }, device: check.Device)
            )
        )
        {
            Compare("empty tiles", check.Random(3, width), few, null);
        }

        foreach (var count in (int[])[2, 11])
        {
            var (x, weight, y) = (
                check.Random(count, width),
                check.Random(outputs, width),
                check.Random(count, outputs)
            );
            var expected = TwinCheck.Wide(y);
            check.Reference.AddProduct(expected, TwinCheck.Wide(x), TwinCheck.Wide(weight));
            check.Kernels.AddProduct(y, x, weight);
            check.Compare($"added product of {count} rows", expected, y, Sums(check));
        }

        void Compare(string what, Tensor x, MixedRows rows, Tensor? added)
        {
            var wideX = TwinCheck.Wide(x);
            var wideAdded = added is null ? null : TwinCheck.Wide(added);
            var expected = check.Reference.MixedLowRank(wideX, rows, wide, outputs, wideAdded);
            check.Compare(what, expected, check.Kernels.MixedLowRank(x, rows, adapters, outputs, added), Sums(check));
        }
    }

    private static double Sums(TwinCheck check) => check.Type == ScalarType.Float32 ? 64 : 3;
}
