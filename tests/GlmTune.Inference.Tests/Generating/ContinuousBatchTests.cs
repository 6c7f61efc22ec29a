namespace GlmTune.Inference.Tests.Generating;

/// <summary>Many rows at a time in little memory. The fake model answers by all tokens that it finds in the cache, so a
/// block that is shared, copied or given back wrongly gives a wrong answer.</summary>
public sealed class ContinuousBatchTests
{
    private const int TokenBytes = 8; // Of the fake model.

    private static int Next(int[] history) => (history.Aggregate(7, (sum, id) => ((sum * 31) + id) % 95) % 95) + 1;

    private static int[] Expected(IReadOnlyList<int> prompt, int count)
    {
        var tokens = prompt.ToList();
        for (var i = 0; i < count; i++)
        {
            tokens.Add(Next([.. tokens]));
        }

        return [.. tokens.Skip(prompt.Count)];
    }

    [Theory]
    [InlineData(0, true, 4096, 40)]
    [InlineData(0, false, 50, 40)]
    [InlineData(5, true, 33, 30)]
    [InlineData(16, true, 64, 34)]
    [InlineData(37, false, 4096, 36)]
    public void Rows_that_come_and_go_in_little_memory_answer_as_alone(
        int virtualTokens,
        bool decodes,
        int passTokens,
        int blocks
    )
    {
        for (var seed = 0; seed < 6; seed++)
        {
            var random = new Random(seed);
            var model = FakeLm.Sure(97, Next, virtualTokens, decodes);
            var limits = new GenerationLimits
            {
                Slots = 12,
                PassTokens = passTokens,
                CacheBytes = blocks * 16L * TokenBytes,
                KeepsAnswers = seed % 3 > 0,
            };
            var generator = new Generator(model, 97, new GenerationOptions { EosTokenIds = [] }, limits);
            using var batch = new ContinuousBatch(model, 97, limits);
            var answers = new Dictionary<GenerationRow, List<int>>();
            int[] common = [.. Enumerable.Range(0, 60).Select(_ => random.Next(1, 96))];
            var (left, finished, cancelled) = (40, 0, 0);
            while (left > 0 || batch.HasWork)
            {
                while (left > 0 && random.Next(3) == 0)
                {
                    left--;
                    var copies = random.Next(8) == 0 ? 3 : 1; // As of a request with n.
                    int[] prompt =
                    [
                        .. common.Take(random.Next(common.Length)),
                        .. Enumerable.Range(0, random.Next(1, 40)).Select(_ => random.Next(1, 96)),
                    ];
                    var count = random.Next(1, 70);
                    for (var copy = 0; copy < copies; copy++)
                    {
                        var row = generator.NewRow(
                            copy,
                            new GenerationRequest(prompt) { Options = new() { MaxNewTokens = count } }
                        );
                        answers.Add(row, []);
                        batch.Add(row);
                    }
                }

                if (random.Next(12) == 0 && answers.Count > 0)
                {
                    var gone = answers.Keys.ElementAt(random.Next(answers.Count));
                    batch.Remove(gone);
                    answers.Remove(gone);
                    cancelled++;
                }

                batch.Step(
                    (row, token) =>
                    {
                        answers[row].Add(token.Id);
                        if (row.Finished)
                        {
                            Assert.Equal(Expected(row.Request.Prompt, row.MaxTokens), answers[row]);
                            answers.Remove(row);
                            finished++;
                        }
                    },
                    (_, e) => throw e
                );
            }

            Assert.Empty(answers);
            Assert.True(finished > 20 && cancelled > 2, $"{finished} finished, {cancelled} cancelled");
            Assert.Equal(0, batch.UsedBlocks);
            Assert.InRange(model.LargestCache, 1, blocks * 16);
        }
    }

    [Fact]
    public void A_row_that_needs_more_than_the_limit_goes_on_alone()
    {
        var limits = new GenerationLimits { CacheBytes = 4 * 16 * TokenBytes };
        var generator = new Generator(FakeLm.Sure(97, Next), 97, new GenerationOptions { EosTokenIds = [] }, limits);
        int[][] prompts =
        [
            [.. Enumerable.Range(1, 90)],
            [3, 4],
            [5],
        ];
        var answers = generator.GenerateAll([
            .. prompts.Select(prompt => new GenerationRequest(prompt) { Options = new() { MaxNewTokens = 60 } }),
        ]);
        Assert.Equal(
            prompts.Select(prompt => Expected(prompt, 60)),
            answers.Select(answer => answer.Generated.Select(token => token.Id))
        );
    }

    [Fact]
    public void A_long_row_takes_only_its_own_blocks()
    {
        // Room for the long row and the short ones, but by far not for as many rows of its length.
        var limits = new GenerationLimits { Slots = 20, CacheBytes = (1000 + (20 * 48)) * TokenBytes };
        var model = FakeLm.Sure(97, Next);
        var generator = new Generator(model, 97, new GenerationOptions { EosTokenIds = [] }, limits);
        int[][] prompts =
        [
            [.. Enumerable.Range(0, 900).Select(i => (i % 90) + 1)],
            .. Enumerable.Range(1, 19).Select(i => new[] { i, 2, 3 }),
        ];
        var answers = generator.GenerateAll([
            .. prompts.Select(prompt => new GenerationRequest(prompt) { Options = new() { MaxNewTokens = 40 } }),
        ]);
        Assert.Equal(
            prompts.Select(prompt => Expected(prompt, 40)),
            answers.Select(answer => answer.Generated.Select(token => token.Id))
        );
        Assert.Equal(20, model.PassSizes.Max());
    }

    [Fact]
    public void A_long_prompt_goes_in_pieces_beside_the_answers_none_of_which_waits_longer_than_a_pass()
    {
        var model = FakeLm.Sure(97, Next, decodes: true);
        var limits = new GenerationLimits { PassTokens = 32 };
        var generator = new Generator(model, 97, new GenerationOptions { EosTokenIds = [] }, limits);
        using var batch = new ContinuousBatch(model, 97, limits);
        var answers = new Dictionary<GenerationRow, List<int>>();
        var running = Enumerable.Range(1, 5).Select(i => Add([i, i + 1], 60)).ToList();
        Step();
        var longRow = Add([.. Enumerable.Range(1, 90), .. Enumerable.Range(1, 90)], 4);
        for (var step = 0; answers[longRow].Count == 0; step++)
        {
            var before = running.ConvertAll(row => answers[row].Count);
            model.PassTokens.Clear();
            Step();
            Assert.All(running.Zip(before), pair => Assert.Equal(pair.Second + 1, answers[pair.First].Count));
            Assert.All(model.PassTokens, count => Assert.InRange(count, 1, 32));
            Assert.InRange(step, 0, 7); // 27 of 180 tokens at a time
        }

        while (batch.HasWork)
        {
            Step();
        }

        Assert.All(answers, pair => Assert.Equal(Expected(pair.Key.Request.Prompt, pair.Key.MaxTokens), pair.Value));

        GenerationRow Add(int[] prompt, int count)
        {
            var row = generator.NewRow(0, new(prompt) { Options = new() { MaxNewTokens = count } });
            answers.Add(row, []);
            batch.Add(row);
            return row;
        }

        void Step() => batch.Step((row, token) => answers[row].Add(token.Id), (_, e) => throw e);
    }

    [Fact]
    public void Prompts_of_clients_take_turns_and_those_of_one_client_go_in_order()
    {
        var limits = new GenerationLimits { PassTokens = 20 };
        var generator = new Generator(FakeLm.Sure(97, Next), 97, limits: limits);
        var turns = new PromptTurns();
        var order = new List<string>();
        var (a1, a2, a3) = (Row("a", 50), Row("a", 30), Row("a", 10));
        var left = new Dictionary<GenerationRow, int>
        {
            [a1] = 50,
            [a2] = 30,
            [a3] = 10,
        };
        Divide(); // 20 of a1
        left.Add(Row("b", 25), 25); // Comes later, and does not wait for all prompts of the other client.
        Divide(); // 20 of b: a new client starts level with the others
        while (left.Count > 0)
        {
            Divide();
        }

        Assert.Equal(["a20 ", "b20 ", "a20 ", "b5 a10 a5 ", "a20 ", "a5 a10 "], order.Select(step => step));

        GenerationRow Row(string client, int count) =>
            generator.NewRow(0, new([.. Enumerable.Range(1, count)]) { Client = client });

        void Divide()
        {
            var step = "";
            turns.Divide(
                [.. left.Keys],
                20,
                (row, tokens) =>
                {
                    var taken = Math.Min(tokens, left[row]);
                    left[row] -= taken;
                    step += $"{row.Request.Client}{taken} ";
                    return taken;
                }
            );
            foreach (var row in left.Keys.Where(row => left[row] == 0).ToList())
            {
                left.Remove(row);
            }

            order.Add(step);
        }
    }

    [Theory]
    [InlineData(0, 5)]
    [InlineData(5, 16)]
    [InlineData(16, 43)]
    public void Beams_that_share_and_copy_blocks_find_the_same_answer_wherever_blocks_end(int virtualTokens, int prompt)
    {
        float[] Logits(int[] history)
        {
            var random = new Random(history.Aggregate(history.Length, (sum, id) => unchecked((sum * 31) + id)));
            return [.. Enumerable.Range(0, 12).Select(_ => 2 * random.NextSingle())];
        }

        int[] Answer(int v, bool decodes)
        {
            var model = new FakeLm(12, Logits) { VirtualTokens = v, Decodes = decodes };
            var request = new GenerationRequest([.. Enumerable.Repeat(3, prompt)])
            {
                Options = new()
                {
                    NumBeams = 4,
                    MaxNewTokens = 90,
                    EosTokenIds = [],
                },
            };
            return new Generator(model, 12).Generate(request).Tokens;
        }

        var expected = Answer(virtualTokens, decodes: false);
        Assert.Equal(90, expected.Length);
        foreach (var other in (int[])[0, 1, 9, 16])
        {
            Assert.Equal(expected, Answer(other, decodes: true));
        }
    }

    [Fact]
    public void Rows_with_the_same_beginning_share_it_while_they_are_answered()
    {
        var model = FakeLm.Sure(97, Next);
        var limits = new GenerationLimits { Slots = 16, PassTokens = 256 };
        var generator = new Generator(model, 97, new GenerationOptions { EosTokenIds = [] }, limits);
        int[] common = [.. Enumerable.Range(0, 256).Select(i => (i % 90) + 1)];
        var prompts = Enumerable.Range(1, 16).Select(i => (int[])[.. common, i, i + 1]).ToList();
        var answers = generator.GenerateAll([
            .. prompts.Select(prompt => new GenerationRequest(prompt) { Options = new() { MaxNewTokens = 8 } }),
        ]);
        Assert.Equal(
            prompts.Select(prompt => Expected(prompt, 8)),
            answers.Select(answer => answer.Generated.Select(token => token.Id))
        );
        Assert.Equal(256 + (16 * 2) + (16 * 7), model.PassTokens.Sum());
        Assert.Equal(15, answers.Count(answer => answer.Generated[0].CachedTokens == 256));
    }
}
