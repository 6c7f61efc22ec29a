using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests.Definitions;

/// <summary>What is drawn, against float64 probabilities: random numbers at equal distances draw each token as often as
/// its probability says, but for one.</summary>
public sealed class TokenDrawTests
{
    private const int Draws = 20_000;

    [Theory]
    [InlineData(1.0, 0, 1.0, 0.0)]
    [InlineData(0.3, 0, 1.0, 0.0)]
    [InlineData(2.5, 0, 1.0, 0.0)]
    [InlineData(0.8, 7, 1.0, 0.0)]
    [InlineData(1.0, 0, 0.6, 0.0)]
    [InlineData(1.0, 0, 0.999, 0.0)]
    [InlineData(1.0, 0, 1.0, 0.1)]
    [InlineData(0.7, 40, 0.9, 0.02)]
    [InlineData(1e-3, 0, 1.0, 0.0)]
    [InlineData(1e-200, 0, 0.9, 0.0)]
    [InlineData(1e200, 0, 1.0, 0.0)]
    public void Tokens_are_drawn_by_their_probabilities(double temperature, int topK, double topP, double minP)
    {
        var random = new Random(4);
        float[] logits =
        [
            .. Enumerable.Range(0, 300).Select(_ => (float)((6 * random.NextDouble() * random.NextDouble()) - 3)),
        ];
        (logits[17], logits[200]) = (float.NegativeInfinity, logits[90]);
        var expected = Probabilities(logits, temperature, topK, topP, minP);
        var row = new SamplingRow
        {
            Scale = TokenDraw.ScaleOf(temperature),
            TopK = topK,
            TopP = topP,
            LeastWeight = TokenDraw.LeastWeight(minP),
        };
        var counts = new int[logits.Length];
        for (var i = 0; i < Draws; i++)
        {
            row.Random = (ulong)((i + 0.5) / Draws * Math.Pow(2, 64));
            counts[TokenDraw.Draw(logits, logits.Max(), row)]++;
        }

        for (var id = 0; id < logits.Length; id++)
        {
            Assert.InRange(counts[id], (Draws * expected[id]) - 1.01, (Draws * expected[id]) + 1.01);
            Assert.True(expected[id] > 0 || counts[id] == 0, $"token {id} was drawn {counts[id]} times");
        }
    }

    [Fact]
    public void Weights_are_powers_of_two_to_seven_digits()
    {
        for (var score = 0f; score > -33; score -= 0.0137f)
        {
            var weight = TokenDraw.Weight(1 + score, 1, TokenDraw.ScaleOf(1));
            var exact = Math.Exp((double)(1 + score) - 1) * Math.Pow(2, 46);
            Assert.InRange(weight, (exact * (1 - 4e-6)) - 1, (exact * (1 + 4e-6)) + 1);
        }

        Assert.Equal(1UL << 46, TokenDraw.Weight(3, 3, 5));
        Assert.Equal(0UL, TokenDraw.Weight(float.NegativeInfinity, 3, 1e-9f));
        Assert.Equal(0UL, TokenDraw.Weight(-1, 3, float.MaxValue));
    }

    [Fact]
    public void The_sum_of_the_largest_vocabulary_does_not_overflow()
    {
        var logits = new float[TokenDraw.MaxTokens];
        var row = new SamplingRow { Scale = 1, Random = ulong.MaxValue };
        Assert.Equal(logits.Length - 1, TokenDraw.Draw(logits, 0, row));
        Assert.Equal(0, TokenDraw.Draw(logits, 0, row with { Random = 0 }));
        Assert.Equal(logits.Length / 2, TokenDraw.Draw(logits, 0, row with { Random = 1UL << 63 }));
    }

    [Fact]
    public void Of_equals_the_lowest_ids_are_in_the_nucleus_and_all_among_the_top()
    {
        float[] logits = [1, 2, 1, 1, 1];
        Assert.Equal([0, 1, 2], Drawn(new SamplingRow { Scale = 1, TopP = 0.65 }));
        Assert.Equal([0, 1, 2, 3, 4], Drawn(new SamplingRow { Scale = 1, TopK = 2 }));
        Assert.Equal([1], Drawn(new SamplingRow { Scale = 1, TopK = 1 }));
        Assert.Equal([1], Drawn(new SamplingRow { Scale = 1, LeastWeight = TokenDraw.LeastWeight(0.8) }));

        int[] Drawn(SamplingRow row) =>
            [
                .. Enumerable
                    .Range(0, 100)
                    .Select(i => TokenDraw.Draw(logits, 2, row with { Random = (ulong)i * (ulong.MaxValue / 99) }))
                    .Distinct()
                    .Order(),
            ];
    }

    [Fact]
    public void Rows_of_a_table_have_their_own_edits_masks_and_pending_tokens()
    {
        using var scope = NewDisposeScope();
        var logits = tensor(
            new float[,]
            {
                { 1, 4, 2, 0 },
                { 0, 1, 2, 9 },
            }
        );
        var table = new SamplingTable();
        table.Add(new SamplingRow { LogitsRow = 1 }, []);
        table.Add(new SamplingRow { LogitsRow = 0, RepetitionPenalty = 4 }, [new ScoreEdit(1, 0, 0, 1)]);
        table.Add(new SamplingRow { LogitsRow = 0 }, [new ScoreEdit(3, 5, 0, 0)]);
        table.Add(new SamplingRow { LogitsRow = 0 }, [], [0b1001]);
        table.Add(new SamplingRow { LogitsRow = 0 }, [], [0]);
        table.Add(
            new SamplingRow
            {
                LogitsRow = 0,
                PresencePenalty = 1,
                FrequencyPenalty = 1,
                Pending = 1,
            },
            []
        );
        table.Add(
            new SamplingRow
            {
                LogitsRow = 0,
                FrequencyPenalty = 1.5f,
                Pending = 1,
            },
            [new ScoreEdit(1, 0, 1, 1)]
        );
        table.Repeat(0);
        var (drawn, ids) = (tensor(new long[] { 7, 7, 7, 7, 7, 1, 1, 7 }), zeros(8, ScalarType.Int64));
        var chosen = new PlainKernels().Sample(logits, table, 3, drawn, ids);
        Assert.Equal([2, 2, 1, 0, -1, 1, 2, 2], drawn.data<long>());
        Assert.Equal([2, 2, 1, 0, 0, 1, 2, 2], ids.data<long>());
        Assert.Equal([2, 2, 1, 0, -1, 1, 2, 2], chosen[0].data<double>());
        Assert.Equal([2, 2, 4, 1, double.NegativeInfinity, 2, 2, 2], chosen[1].data<double>());
    }

    private static double[] Probabilities(float[] logits, double temperature, int topK, double topP, double minP)
    {
        var highest = logits.Max();
        var weights = Array.ConvertAll(logits, logit => Math.Exp(((double)logit - highest) / temperature));
        var ranked = Enumerable.Range(0, logits.Length).OrderByDescending(id => logits[id]).ThenBy(id => id).ToList();
        if (topK > 0)
        {
            ranked = [.. ranked.Where(id => logits[id] >= logits[ranked[topK - 1]])];
        }

        var sum = ranked.Sum(id => weights[id]);
        var reached = 0.0;
        ranked = [.. ranked.TakeWhile(id => (reached += weights[id]) - weights[id] < topP * sum || topP == 1)];
        ranked = [.. ranked.Where(id => weights[id] >= minP)];
        sum = ranked.Sum(id => weights[id]);
        var result = new double[logits.Length];
        ranked.ForEach(id => result[id] = weights[id] / sum);
        return result;
    }
}
