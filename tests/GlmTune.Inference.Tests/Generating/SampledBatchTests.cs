using System.Runtime.InteropServices;
using GlmTune.Constraints;

namespace GlmTune.Inference.Tests.Generating;

/// <summary>Sampled answers of a batch, whose next pass is queued before the tokens of the last one are known, equal
/// those of single prompts on a model without a decoder.</summary>
public sealed class SampledBatchTests
{
    private const int Vocabulary = 50;

    // Logits that follow from the tokens, close enough to each other for every rule to matter.
    private static float[] Logits(int[] history)
    {
        var random = new Random(history.Aggregate(17, (sum, id) => unchecked((sum * 31) + id)));
        return [.. Enumerable.Range(0, Vocabulary).Select(_ => MathF.Round(4 * random.NextSingle(), 1))];
    }

    private static GenerationOptions Options(Random random, bool inTable) =>
        new()
        {
            DoSample = random.Next(5) > 0,
            Temperature = 0.4 + random.NextDouble(),
            TopK = random.Next(3) * 8,
            TopP = random.Next(2) == 0 ? 1 : 0.7,
            MinP = random.Next(3) == 0 ? 0.1 : 0,
            RepetitionPenalty = random.Next(3) == 0 ? 1.4 : 1,
            PresencePenalty = random.Next(3) == 0 ? 0.6 : 0,
            FrequencyPenalty = random.Next(3) == 0 ? 0.3 : 0,
            LogitBias = random.Next(3) == 0 ? new Dictionary<int, double> { [random.Next(50)] = 3 } : null,
            MinNewTokens = random.Next(3) == 0 ? 6 : 0,
            NoRepeatNgramSize = inTable || random.Next(4) > 0 ? 0 : 2,
            MaxNewTokens = random.Next(3, 30),
            EosTokenIds = [1, 2],
            Seed = random.Next(),
        };

    // Allows about half of the tokens, by the answer so far; a grammar of one's own.
    private static TokenMask Mask(int seed) =>
        (answer, allowed) =>
        {
            var random = new Random(answer.ToArray().Aggregate(seed, (sum, id) => unchecked((sum * 31) + id)));
            random.NextBytes(MemoryMarshal.AsBytes(allowed));
        };

    [Theory]
    [InlineData(true, true, 400)]
    [InlineData(true, false, 400)]
    [InlineData(false, true, 400)]
    [InlineData(true, true, 16)]
    public void Answers_equal_those_of_single_prompts(bool decodes, bool inTable, int blocks)
    {
        var random = new Random(5);
        var requests = Enumerable
            .Range(0, 40)
            .Select(_ => new GenerationRequest([
                .. Enumerable.Range(0, random.Next(1, 60)).Select(_ => random.Next(50)),
            ])
            {
                Options = Options(random, inTable),
                Mask = inTable || random.Next(4) > 0 ? null : Mask(random.Next()),
            })
            .ToList();
        var alone = new Generator(new FakeLm(Vocabulary, Logits), Vocabulary);
        var expected = requests.ConvertAll(request => Ids(alone.Generate(request)));

        var model = new FakeLm(Vocabulary, Logits) { Decodes = decodes };
        var limits = new GenerationLimits
        {
            Slots = 8,
            PassTokens = 40,
            CacheBytes = blocks * 16L * 8,
        };
        var generator = new Generator(model, Vocabulary, null, limits);
        var counts = new GenerationCounts();
        using var queue = generator.NewQueue(limits, counts);
        var answers = new Dictionary<GenerationRow, List<int>>();
        foreach (var request in requests)
        {
            var row = generator.NewRow(0, request);
            answers.Add(row, []);
            queue.Add(row);
        }

        while (queue.HasWork)
        {
            queue.Step((row, token) => answers[row].Add(token.Id), (_, error) => Assert.Fail(error.Message));
        }

        Assert.Equal(expected, answers.Values.Select(answer => answer.ToArray()));
        Assert.Equal(decodes, model.QueuedAhead > 0);
        Assert.Equal(blocks < 100, counts.Preemptions > 0);
        Assert.Equal(requests.Sum(request => request.Prompt.Count), counts.PromptTokens);
    }

    [Fact]
    public void The_pass_after_the_next_is_queued_for_sampled_rows_as_for_greedy_ones()
    {
        var passes = new List<int>();
        foreach (var sampled in (bool[])[false, true])
        {
            var model = new FakeLm(Vocabulary, Logits) { Decodes = true };
            var options = new GenerationOptions
            {
                DoSample = sampled,
                FrequencyPenalty = sampled ? 0.5 : 0,
                MaxNewTokens = 20,
                EosTokenIds = [],
                Seed = 3,
            };
            new Generator(model, Vocabulary, options).GenerateAll([new([1, 2, 3]), new([4, 5])]);
            passes.Add(model.QueuedAhead);
        }

        Assert.True(passes[1] >= 17);
        Assert.Equal(passes[0], passes[1]);
    }

    private static int[] Ids(GeneratedAnswer answer) => [.. answer.Generated.Select(token => token.Id)];
}
