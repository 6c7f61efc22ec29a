using CsCheck;
using GlmTune.Kernels.Definitions;

namespace GlmTune.Inference.Tests.Sampling;

public class SamplerTests
{
    [Fact]
    public void Without_sampling_the_likeliest_wins_and_of_equals_the_first()
    {
        var sampler = new Sampler([1], new GenerationOptions());
        Assert.True(sampler.ArgmaxSuffices);
        Assert.Equal(2, sampler.Sample([0, 1, 3, 3, 2]));
    }

    [Fact]
    public void Repetition_penalty_covers_prompt_and_answer_and_counts_a_token_once()
    {
        var sampler = new Sampler([0, 0, 1, 99], new GenerationOptions { RepetitionPenalty = 2 });
        sampler.Accept(2);
        sampler.Accept(2);
        float[] logits = [4, -4, 6, 5, -5];
        Assert.Equal(3, sampler.Sample(logits));
        Assert.Equal([2, -8, 3, 5, -5], logits);
    }

    [Fact]
    public void Biases_come_before_every_other_rule_and_every_token_has_to_be_looked_at()
    {
        var options = new GenerationOptions
        {
            LogitBias = new Dictionary<int, double>
            {
                [1] = 5,
                [2] = -100,
                [99] = 1,
            },
        };
        var sampler = new Sampler([1], options with { RepetitionPenalty = 2 });
        float[] logits = [3, 2, 9, -2];
        Assert.Equal(1, sampler.Sample(logits));
        Assert.Equal([3, 3.5f, -91, -2], logits);
        Assert.False(new Sampler([1], options).ArgmaxSuffices);
        Assert.Contains(
            "logit_bias",
            Assert
                .Throws<ArgumentException>(() =>
                    new Sampler(
                        [1],
                        new GenerationOptions { LogitBias = new Dictionary<int, double> { [0] = double.NaN } }
                    )
                )
                .Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Presence_and_frequency_penalties_cover_the_answer_alone()
    {
        var sampler = new Sampler([0, 1], new GenerationOptions { PresencePenalty = 1, FrequencyPenalty = 0.25 });
        sampler.Accept(2);
        sampler.Accept(2);
        sampler.Accept(3);
        float[] logits = [1, 1, 4, 4, 4];
        sampler.Sample(logits);
        Assert.Equal([1, 1, 2.5f, 2.75f, 4], logits);
    }

    [Fact]
    public void No_run_of_tokens_comes_twice()
    {
        var sampler = new Sampler([5, 6, 7, 5, 6], new GenerationOptions { NoRepeatNgramSize = 3 });
        var logits = new float[10];
        sampler.Sample(logits);
        Assert.Equal([7], Enumerable.Range(0, 10).Where(id => float.IsNegativeInfinity(logits[id])));
        sampler.Accept(6);
        logits = new float[10];
        sampler.Sample(logits);
        Assert.DoesNotContain(float.NegativeInfinity, logits);
        var single = new Sampler([5, 6], new GenerationOptions { NoRepeatNgramSize = 1 });
        single.Sample(logits);
        Assert.Equal([5, 6], Enumerable.Range(0, 10).Where(id => float.IsNegativeInfinity(logits[id])));
    }

    [Fact]
    public void Draws_follow_the_tempered_probabilities()
    {
        var counts = Draw([0, 1, 2], new GenerationOptions { Temperature = 0.5 });
        var weights = new[] { 1, Math.Exp(2), Math.Exp(4) };
        AssertFrequencies(weights, counts);
    }

    [Fact]
    public void Top_k_leaves_the_likeliest_and_their_equals() =>
        AssertFrequencies(
            [0, Math.E, 0, Math.E * Math.E, Math.E],
            Draw([0, 1, -3, 2, 1], new GenerationOptions { TopK = 2 })
        );

    [Fact]
    public void Top_p_leaves_the_smallest_set_that_reaches_it()
    {
        float[] logits = [MathF.Log(0.1f), MathF.Log(0.4f), MathF.Log(0.2f), MathF.Log(0.3f)];
        AssertFrequencies([0, 0.4, 0, 0.3], Draw(logits, new GenerationOptions { TopP = 0.65 }));
        AssertFrequencies([0, 0.4, 0.2, 0.3], Draw(logits, new GenerationOptions { TopP = 0.75 }));
        AssertFrequencies([0, 1, 0, 0], Draw(logits, new GenerationOptions { TopP = 0.01 }));
        AssertFrequencies([0, 0.4, 0, 0.3], Draw(logits, new GenerationOptions { TopP = 0.9, TopK = 2 }));
    }

    [Fact]
    public void Min_p_leaves_the_tokens_with_a_share_of_the_likeliest_ones_probability()
    {
        float[] logits = [MathF.Log(0.1f), MathF.Log(0.4f), MathF.Log(0.2f), MathF.Log(0.3f)];
        AssertFrequencies([0, 0.4, 0, 0.3], Draw(logits, new GenerationOptions { MinP = 0.6 }));
        AssertFrequencies([0.1, 0.4, 0.2, 0.3], Draw(logits, new GenerationOptions { MinP = 0.2 }));
        AssertFrequencies([0, 1, 0, 0], Draw(logits, new GenerationOptions { MinP = 1 }));
        // After the temperature: 0.5 squares the probabilities, so that 0.3 against 0.4 becomes 9 against 16.
        AssertFrequencies([0, 16, 0, 9], Draw(logits, new GenerationOptions { MinP = 0.5, Temperature = 0.5 }));
        // After top-p, whose set is counted with the unlikely tokens there.
        AssertFrequencies([0, 0.4, 0, 0.3], Draw(logits, new GenerationOptions { MinP = 0.3, TopP = 0.65 }));
        Assert.Contains(
            "min_p is 1.5",
            Assert.Throws<ArgumentException>(() => new Sampler([0], new GenerationOptions { MinP = 1.5 })).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Min_p_agrees_with_float64_probabilities()
    {
        Gen.Select(Gen.Float[-6, 6].Array[2, 100], Gen.Double[0.01, 1], Gen.Double[0.3, 2])
            .Sample(
                (logits, share, temperature) =>
                {
                    double[] weights = Array.ConvertAll(logits, logit => Math.Exp(logit / temperature));
                    var total = weights.Sum();
                    double[] probabilities = Array.ConvertAll(weights, weight => weight / total);
                    // Draws at the limit itself may fall either way by rounding.
                    var least = probabilities.Max() * share * (1 - 1e-6);
                    var sampler = new Sampler(
                        [0],
                        new GenerationOptions
                        {
                            DoSample = true,
                            TopK = 0,
                            MinP = share,
                            Temperature = temperature,
                            Seed = 1,
                        }
                    );
                    for (var i = 0; i < 50; i++)
                    {
                        Assert.True(probabilities[sampler.Sample((float[])logits.Clone())] >= least);
                    }
                },
                iter: 200
            );
    }

    [Fact]
    public void The_nucleus_is_that_of_a_full_sort()
    {
        Gen.Select(Gen.Float[-6, 6].Array[2, 200], Gen.Double[0.01, 0.999], Gen.Int[0, 50])
            .Sample(
                (logits, p, k) =>
                {
                    var ranked = logits.Index().OrderByDescending(score => score.Item).ToList();
                    if (k > 0)
                    {
                        ranked =
                        [
                            .. ranked.TakeWhile(score => score.Item >= ranked[Math.Min(k, ranked.Count) - 1].Item),
                        ];
                    }

                    var total = ranked.Sum(score => Math.Exp(score.Item));
                    var allowed = new HashSet<int>();
                    var sum = 0.0;
                    foreach (var (id, score) in ranked.TakeWhile(_ => sum < p * total * (1 + 1e-9)))
                    {
                        allowed.Add(id);
                        sum += Math.Exp(score);
                    }

                    var sampler = new Sampler(
                        [0],
                        new GenerationOptions
                        {
                            DoSample = true,
                            TopP = p,
                            TopK = k,
                            Seed = 1,
                        }
                    );
                    for (var i = 0; i < 50; i++)
                    {
                        Assert.Contains(sampler.Sample((float[])logits.Clone()), allowed);
                    }
                },
                iter: 200
            );
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_table_row_selects_what_the_sampler_would(bool sample)
    {
        var random = new Random(3);
        for (var round = 0; round < 60; round++)
        {
            var options = new GenerationOptions
            {
                DoSample = sample,
                Temperature = 0.5 + random.NextDouble(),
                TopK = random.Next(3) * 20,
                TopP = random.Next(2) == 0 ? 1 : 0.8,
                MinP = random.Next(2) == 0 ? 0 : 0.05,
                RepetitionPenalty = random.Next(2) == 0 ? 1 : 1.5,
                PresencePenalty = random.Next(2) == 0 ? 0 : 0.5,
                FrequencyPenalty = random.Next(2) == 0 ? 0 : 0.25,
                LogitBias = random.Next(2) == 0 ? null : new Dictionary<int, double> { [3] = 2, [7] = -100 },
                MinNewTokens = random.Next(2) * 5,
                EosTokenIds = [1, 3],
                Seed = round,
            };
            int[] prompt = [5, 7, 7, 9_999];
            var (host, table) = (new Sampler(prompt, options), new Sampler(prompt, options));
            var pending = -1;
            for (var step = 0; step < 12; step++)
            {
                // Few different values, as bfloat16 leaves them: top-k ends among equals.
                float[] logits =
                [
                    .. Enumerable.Range(0, 300).Select(_ => MathF.Round((float)(6 * random.NextDouble()), 1) - 2),
                ];
                var rows = new SamplingTable();
                table.AddTo(rows, 0, pending >= 0); // From the second token on before the one before is known.
                var row = rows.Rows[0];
                if (pending >= 0)
                {
                    table.Accept(table.Drawn(pending, 0));
                }

                var (id, highest) = RowSampling.Choose(
                    (float[])logits.Clone(),
                    row,
                    rows.EditsOf(row),
                    pending: row.Pending > 0 ? pending : -1
                );
                Assert.True(float.IsFinite(highest));
                var expected = host.Sample(logits);
                host.Accept(expected);
                Assert.Equal(expected, id);
                pending = id;
            }
        }
    }

    [Fact]
    public void Rules_over_several_tokens_fit_no_table()
    {
        Assert.True(new Sampler([1], new GenerationOptions { RepetitionPenalty = 2 }).FitsTable);
        Assert.False(new Sampler([1], new GenerationOptions { NoRepeatNgramSize = 2 }).FitsTable);
        Assert.False(new Sampler([1], new GenerationOptions { NoRepeatNgramSize = 2 }).FitsAhead);
        Assert.True(new Sampler([1], new GenerationOptions(), (_, _) => { }).FitsTable);
        Assert.False(new Sampler([1], new GenerationOptions(), (_, _) => { }).FitsAhead);
    }

    [Fact]
    public void Forbidden_tokens_are_not_drawn()
    {
        var sampler = new Sampler(
            [0],
            new GenerationOptions { DoSample = true, Seed = 2 },
            (_, allowed) => allowed[0] = ~2u
        );
        Assert.False(sampler.ArgmaxSuffices);
        Assert.All(Enumerable.Range(0, 100), _ => Assert.NotEqual(1, sampler.Sample([0, 9, 0])));
    }

    [Fact]
    public void Logits_that_leave_no_choice_are_explained()
    {
        var sampler = new Sampler([0], new GenerationOptions());
        Assert.Contains(
            "token 1 is NaN",
            Assert.Throws<NoTokenException>(() => sampler.Sample([0, float.NaN])).Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "forbidden",
            Assert.Throws<NoTokenException>(() => sampler.Sample([float.NegativeInfinity])).Message,
            StringComparison.Ordinal
        );
    }

    private static int[] Draw(float[] logits, GenerationOptions options)
    {
        var sampler = new Sampler([0], options with { DoSample = true, Seed = 7 });
        var counts = new int[logits.Length];
        for (var i = 0; i < 20000; i++)
        {
            counts[sampler.Sample((float[])logits.Clone())]++;
        }

        return counts;
    }

    // Within five standard deviations; what has no weight never comes.
    private static void AssertFrequencies(double[] weights, int[] counts)
    {
        foreach (var (weight, count) in weights.Zip(counts))
        {
            var p = weight / weights.Sum();
            Assert.InRange(
                count,
                20000 * p - 5 * Math.Sqrt(20000 * p * (1 - p)),
                20000 * p + 5 * Math.Sqrt(20000 * p * (1 - p))
            );
        }
    }
}
