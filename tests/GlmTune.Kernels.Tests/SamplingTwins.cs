using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>Chosen tokens, which are the same as the definition's, bit for bit.</summary>
internal static class SamplingTwins
{
    public static void Sample(TwinCheck check, KernelTwins.Sizes sizes)
    {
        var random = new Random(8);
        var count = sizes.Vocabulary - 9;
        var logits = check.Random(3, sizes.Vocabulary);
        logits[1].copy_(logits[1].Multiply(6)); // Few tokens matter.
        logits[2].copy_(logits[2].Multiply(0.01)); // All matter, and many are equal.
        logits[2][4].FillInPlace(double.NegativeInfinity);
        var (table, pending) = (new SamplingTable(), new List<long>());
        // Threads of a block are slow on an emulator.
        foreach (
            var (row, edits, mask, last) in Rows(random, count).Skip(count < 1000 ? 2 : 0).Take(count < 1000 ? 8 : 99)
        )
        {
            table.Add(row, edits, mask);
            pending.Add(last);
        }

        table.Repeat(0);
        pending.Add(pending[0]);
        Compare("rows", logits, [.. pending]);

        // Nothing is drawn where there is no choice.
        table.Clear();
        logits[0][count - 1].FillInPlace(double.NaN);
        logits[0][count].FillInPlace(double.NaN);
        logits[1][7].FillInPlace(double.PositiveInfinity);
        var words = (count + 31) / 32;
        table.Add(new SamplingRow { LogitsRow = 0, Scale = 1 }, []);
        table.Add(new SamplingRow { LogitsRow = 1, Scale = 1 }, []);
        table.Add(new SamplingRow { LogitsRow = 2, Scale = 1 }, [], new uint[words]);
        table.Add(
            new SamplingRow { LogitsRow = 0, Scale = 1 },
            [new ScoreEdit(count - 1, float.NegativeInfinity, 0, 0)]
        );
        var all = new uint[words];
        Array.Fill(all, uint.MaxValue);
        all[(count - 1) >> 5] &= ~(1u << ((count - 1) & 31));
        table.Add(new SamplingRow { LogitsRow = 0, Scale = 1 }, [], all);
        Compare("no choice", logits, new long[5]);

        void Compare(string what, Tensor logits, long[] before)
        {
            var (drawn, ids) = (tensor(before).to(check.Device), check.Poison(ScalarType.Int64, before.Length));
            var (expectedDrawn, expectedIds) = (tensor(before), zeros(before.Length, ScalarType.Int64));
            var expected = check.Reference.Sample(logits.cpu(), table, count, expectedDrawn, expectedIds);
            var chosen = check.Kernels.Sample(logits, table, count, drawn, ids);
            check.Compare($"{what}, tokens", expected[0].to(check.Device), chosen[0]);
            check.Compare($"{what}, scores", Kinds(expected[1]).to(check.Device), Kinds(chosen[1]).to(check.Device));
            check.Compare($"{what}, drawn", TwinCheck.Wide(expectedDrawn).to(check.Device), TwinCheck.Wide(drawn));
            check.Compare($"{what}, ids", TwinCheck.Wide(expectedIds).to(check.Device), TwinCheck.Wide(ids));
        }
    }

    // Infinities and NaN as numbers, since they have no difference.
    private static Tensor Kinds(Tensor scores) =>
        tensor([
            .. scores.cpu().data<double>().Select(score => double.IsNaN(score) ? 1e30 : Math.Clamp(score, -1e20, 1e20)),
        ]);

    private static IEnumerable<(SamplingRow Row, ScoreEdit[] Edits, uint[]? Mask, long Last)> Rows(
        Random random,
        int count
    )
    {
        (double Temperature, int TopK, double TopP, double MinP)[] rules =
        [
            (0, 0, 1, 0),
            (1, 0, 1, 0),
            (1.3, 40, 1, 0),
            (0.7, 0, 0.8, 0),
            (1, 0, 0.9999, 0),
            (1, 700, 1, 0),
            (0.9, 450, 0.6, 0.05),
            (1, 1, 0.5, 0),
            (0.01, 0, 0.3, 0),
            (1, 0, 1, 0.3),
            (50, 0, 0.5, 0),
        ];
        for (var i = 0; i < 2 * rules.Length; i++)
        {
            var (temperature, topK, topP, minP) = rules[i / 2];
            var row = new SamplingRow
            {
                Random = (ulong)random.NextInt64(long.MinValue, long.MaxValue),
                Scale = temperature == 0 ? 0 : TokenDraw.ScaleOf(temperature),
                TopK = topK,
                TopP = topP,
                LeastWeight = TokenDraw.LeastWeight(minP),
                LogitsRow = i % 3,
            };
            var edits = Array.Empty<ScoreEdit>();
            var last = -1L;
            if (i % 2 == 1)
            {
                row.RepetitionPenalty = i % 4 == 1 ? 1.3f : 1;
                row.PresencePenalty = i % 8 < 4 ? 0.4f : 0;
                row.FrequencyPenalty = 0.1f;
                edits =
                [
                    .. Enumerable
                        .Range(0, Math.Min(count, 3000))
                        .Where(_ => random.Next(4) == 0)
                        .Select(id => new ScoreEdit(id, random.Next(3) - 1, random.Next(3), random.Next(2))),
                    new ScoreEdit(count + 3, 9, 1, 1), // Of the padding.
                ];
                row.Pending = i % 6 == 1 ? 0 : 1;
                last = i % 6 == 3 ? edits[5].Id : count - 2;
            }

            uint[]? mask = null;
            if (i % 5 == 4)
            {
                mask = new uint[(count + 31) / 32];
                random.NextBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(mask.AsSpan()));
            }

            yield return (row, edits, mask, last);
        }
    }
}
