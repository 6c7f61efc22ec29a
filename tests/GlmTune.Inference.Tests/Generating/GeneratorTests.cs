namespace GlmTune.Inference.Tests.Generating;

public class GeneratorTests
{
    // Counts up from the prompt's last token and stops (token 0) after each multiple of ten.
    private static FakeLm Counting(int virtualTokens = 0) =>
        FakeLm.Sure(200, history => history.Length > 1 && history[^1] % 10 == 0 ? 0 : history[^1] + 1, virtualTokens);

    private static int[] CountedFrom(int last) => [.. Enumerable.Range(last + 1, 10 - (last % 10))];

    [Theory]
    [InlineData(1, 0)]
    [InlineData(3, 0)]
    [InlineData(16, 0)]
    [InlineData(3, 5)]
    public void Rows_leave_and_enter_and_answers_come_in_order(int slots, int virtualTokens)
    {
        var model = Counting(virtualTokens);
        var prompts = Enumerable
            .Range(0, 40)
            .Select(i => Enumerable.Repeat(99, i % 7).Append((i * 37 % 150) + 1).ToArray())
            .ToList();
        var generator = new Generator(model, 200, limits: new GenerationLimits { Slots = slots });
        var streamed = prompts.ConvertAll(_ => new List<int>());
        var answers = generator.GenerateAll(
            [.. prompts.Select(prompt => new GenerationRequest(prompt))],
            (row, token) => streamed[row].Add(token.Id)
        );
        Assert.Equal(Enumerable.Range(0, 40), answers.Select(answer => answer.Index));
        Assert.Equal(prompts.Select(prompt => Expected(prompt)), answers.Select(answer => answer.Tokens));
        Assert.Equal(answers.Select(answer => answer.Tokens.Append(0)), streamed);
        Assert.All(answers, answer => Assert.Equal((FinishReason.Stop, 0), (answer.Finish, answer.StopToken)));
        Assert.Equal(slots, model.PassSizes.Max());

        static int[] Expected(int[] prompt) => prompt.Length > 1 && prompt[^1] % 10 == 0 ? [] : CountedFrom(prompt[^1]);
    }

    [Fact]
    public void Answers_come_as_they_finish_and_prompts_are_read_as_places_become_free()
    {
        var read = 0;
        var generator = new Generator(Counting(), 200, limits: new GenerationLimits { Slots = 2 });
        var order = new List<int>();
        foreach (var answer in generator.AsFinished(Prompts()))
        {
            order.Add(answer.Index);
            Assert.True(read <= order.Count + 4, $"{read} prompts read when {order.Count} answers were there");
        }

        Assert.Equal(1, order[0]); // Nine tokens before the other.
        Assert.Equal(Enumerable.Range(0, 30), order.Order());

        IEnumerable<GenerationRequest> Prompts()
        {
            for (var i = 0; i < 30; i++)
            {
                read++;
                yield return new GenerationRequest([i % 2 == 0 ? 1 : 9]);
            }
        }
    }

    [Fact]
    public void An_answer_ends_at_the_length_limit()
    {
        var generator = new Generator(FakeLm.Sure(50, _ => 7), 50);
        var answer = generator.Generate(new([1, 2]) { Options = new() { MaxNewTokens = 5 } });
        Assert.Equal([7, 7, 7, 7, 7], answer.Tokens);
        Assert.Equal((FinishReason.Length, null), (answer.Finish, answer.StopToken));
        Assert.Equal(
            3,
            generator
                .Generate(
                    new([1, 2])
                    {
                        Options = new() { MaxNewTokens = 50, MaxLength = 5 },
                    }
                )
                .Tokens.Length
        );
    }

    [Theory]
    [InlineData(float.NaN, false, "token 1 is NaN")]
    [InlineData(float.NaN, true, "token 1 is NaN")]
    [InlineData(float.NegativeInfinity, false, "is -Infinity")]
    [InlineData(float.PositiveInfinity, false, "token 1 is Infinity")]
    [InlineData(float.PositiveInfinity, true, "token 1 is Infinity")]
    public void Logits_that_are_no_numbers_are_told(float logit, bool sample, string message)
    {
        var generator = new Generator(new FakeLm(3, _ => [logit < 0 ? logit : 5, logit, float.NegativeInfinity]), 3);
        var error = Assert.Throws<InvalidOperationException>(() =>
            generator.Generate(
                new([1])
                {
                    Options = new() { DoSample = sample, MaxNewTokens = 2 },
                }
            )
        );
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Contains("The weights contain non-finite values", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(true, true)]
    [InlineData(false, false)]
    [InlineData(false, true)]
    public void Logits_that_cease_to_be_numbers_end_their_own_answer_with_the_error(bool decodes, bool all)
    {
        // After two tokens the second prompt's logits overflow: all of them, or the last one alone.
        var model = new FakeLm(
            6,
            history =>
                history is [2, _, _, ..]
                    ? [.. Enumerable.Range(0, 6).Select(id => all || id == 5 ? float.NaN : 1)]
                    : [0, 1, 2, 3, 9, 5]
        )
        {
            Decodes = decodes,
        };
        var generator = new Generator(model, 6, new GenerationOptions { MaxNewTokens = 9, EosTokenIds = [] });
        using var queue = generator.NewQueue();
        queue.Add(generator.NewRow(0, new([1])));
        queue.Add(generator.NewRow(1, new([2])));
        var (tokens, errors) = (new List<(int Row, int Id)>(), new List<(int Row, string Message)>());
        while (queue.HasWork)
        {
            queue.Step(
                (row, token) => tokens.Add((row.Index, token.Id)),
                (row, e) => errors.Add((row.Index, e.Message))
            );
        }

        Assert.Equal(9, tokens.Count(token => token == (0, 4)));
        Assert.Equal(2, tokens.Count(token => token == (1, 4)));
        Assert.Equal(11, tokens.Count);
        var (failed, message) = Assert.Single(errors);
        Assert.Equal(1, failed);
        Assert.Contains("is NaN. The weights contain non-finite values", message, StringComparison.Ordinal);
        Assert.Equal(decodes, model.QueuedAhead > 2);
    }

    [Fact]
    public void A_beam_search_over_logits_that_are_no_numbers_ends_with_the_error()
    {
        var model = new FakeLm(6, history => [0, 1, 2, 3, history.Length > 2 ? float.NaN : 4, 5]);
        var error = Assert.Throws<InvalidOperationException>(() =>
            new Generator(model, 6).Generate(
                new([1])
                {
                    Options = new()
                    {
                        NumBeams = 2,
                        MaxNewTokens = 5,
                        EosTokenIds = [],
                    },
                }
            )
        );
        Assert.Contains("is NaN. The weights contain non-finite values", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_failed_pass_ends_its_own_answers_and_no_others(bool decodes)
    {
        // Two places, five prompts; whatever pass the third one is in fails.
        var model = FakeLm.Sure(
            9,
            history => history is [3, _, ..] ? throw new InvalidDataException("broken") : 7,
            decodes: decodes
        );
        var generator = new Generator(
            model,
            9,
            new GenerationOptions { EosTokenIds = [] },
            new GenerationLimits { Slots = 2 }
        );
        using var queue = generator.NewQueue();
        // The first is over before the third enters, the second is not.
        int[] lengths = [2, 8, 8, 3, 3];
        foreach (var (index, length) in lengths.Index())
        {
            queue.Add(generator.NewRow(index, new([index + 1]) { Options = new() { MaxNewTokens = length } }));
        }

        var (counts, lost) = (new int[5], new List<int>());
        while (queue.HasWork)
        {
            try
            {
                queue.Step((row, _) => counts[row.Index]++, (_, e) => throw e);
            }
            catch (PassFailedException e)
            {
                Assert.IsType<InvalidDataException>(e.Cause);
                lost.AddRange(e.Rows.Select(row => row.Index));
            }
        }

        // The second one's token came from the same pass as the third one's.
        Assert.Equal([1, 2], lost);
        Assert.Equal((2, 3, 3), (counts[0], counts[3], counts[4]));
        Assert.InRange(counts[1], 1, 7);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Where_a_pass_runs_out_of_memory_the_longest_answer_is_given_up_and_the_others_are_as_alone(bool decodes)
    {
        var model = FakeLm.Sure(
            9,
            history => history.Length > 6 ? throw new InsufficientMemoryException("no memory") : history.Sum() % 8 + 1,
            decodes: decodes
        );
        var options = new GenerationOptions { EosTokenIds = [], MaxNewTokens = 3 };
        var generator = new Generator(model, 9, options);
        int[][] prompts =
        [
            [1],
            [2, 3, 4, 5],
            [6, 7],
        ];
        var alone = prompts.Select(prompt => prompt.Length > 3 ? null : generator.Generate(new(prompt)).Tokens);
        using var queue = generator.NewQueue();
        foreach (var (index, prompt) in prompts.Index())
        {
            queue.Add(
                generator.NewRow(index, new(prompt) { Options = new() { MaxNewTokens = prompt.Length > 3 ? 9 : 3 } })
            );
        }

        var (answers, lost) = (prompts.Select(_ => new List<int>()).ToArray(), new List<int>());
        while (queue.HasWork)
        {
            try
            {
                queue.Step((row, token) => answers[row.Index].Add(token.Id), (_, e) => throw e);
            }
            catch (PassFailedException e)
            {
                lost.AddRange(e.Rows.Select(row => row.Index));
            }
        }

        Assert.Equal([1], lost);
        Assert.All(
            alone.Index().Where(each => each.Item is not null),
            each => Assert.Equal(each.Item, answers[each.Index])
        );
    }

    [Fact]
    public void No_stop_token_comes_before_the_least_length()
    {
        var generator = new Generator(new FakeLm(5, _ => [9, 1, 2, 3, 1]), 5);
        Assert.Empty(generator.Generate(new([1])).Tokens);
        Assert.Equal([3, 3, 3], generator.Generate(new([1]) { Options = new() { MinNewTokens = 3 } }).Tokens);
    }

    [Fact]
    public void Padded_rows_of_the_vocabulary_are_never_produced()
    {
        var model = new FakeLm(20, _ => [.. Enumerable.Range(0, 20).Select(id => id < 10 ? 0f : 50f)]);
        var generator = new Generator(model, 10, new GenerationOptions { MaxNewTokens = 200, EosTokenIds = [] });
        Assert.All(generator.Generate(new([1])).Tokens, id => Assert.InRange(id, 0, 9));
        var sampled = generator.Generate(
            new([1])
            {
                Options = new()
                {
                    DoSample = true,
                    TopK = 0,
                    Seed = 1,
                },
                LogProbabilities = true,
            }
        );
        Assert.Equal(Enumerable.Range(0, 10), sampled.Tokens.Distinct().Order());
        Assert.All(sampled.Generated, token => Assert.Equal(Math.Log(0.1), token.LogProbability!.Value, 6));
        Assert.All(
            generator
                .Generate(
                    new([1])
                    {
                        Options = new() { NumBeams = 3, MaxNewTokens = 10 },
                    }
                )
                .Tokens,
            id => Assert.InRange(id, 0, 9)
        );
    }

    [Fact]
    public void The_cache_has_room_for_whole_answers_that_are_not_too_long()
    {
        var model = FakeLm.Sure(50, history => history.Length < 400 ? 7 : 0);
        Assert.Equal(
            399,
            new Generator(model, 50, new GenerationOptions { MaxNewTokens = 500 }).Generate(new([1])).Tokens.Length
        );
        Assert.Equal(512, model.LargestCache);
        var brief = FakeLm.Sure(50, history => history.Length < 10 ? 7 : 0);
        Assert.Equal(
            9,
            new Generator(brief, 50, new GenerationOptions { MaxNewTokens = 4000 }).Generate(new([1])).Tokens.Length
        );
        Assert.Equal(2064, brief.LargestCache);
    }

    [Fact]
    public void The_cache_stays_within_its_limit_where_there_is_no_room_for_whole_answers()
    {
        var model = FakeLm.Sure(50, history => history.Length < 1000 ? 7 : 0);
        // Room for 1,800 tokens; a token is two float32.
        var generator = new Generator(
            model,
            50,
            new GenerationOptions { MaxNewTokens = 4000 },
            new GenerationLimits { CacheBytes = 1800 * 8 }
        );
        Assert.Equal(999, generator.Generate(new([1])).Tokens.Length);
        Assert.InRange(model.LargestCache, 1000, 1800);
        var small = FakeLm.Sure(50, history => history.Length < 10 ? 7 : 0);
        Assert.Equal(
            9,
            new Generator(
                small,
                50,
                new GenerationOptions { MaxNewTokens = 4000 },
                new GenerationLimits { CacheBytes = 1800 * 8 }
            )
                .Generate(new([1]))
                .Tokens.Length
        );
        Assert.Equal(1792, small.LargestCache);
    }

    [Theory]
    [InlineData(null, 1000)]
    [InlineData(5000L, 1000)]
    [InlineData(1000L, 800)]
    [InlineData(0L, 1)]
    public void The_cache_is_held_within_free_memory(long? free, long bytes) =>
        Assert.Equal(
            bytes,
            new GenerationLimits { CacheBytes = 1000 }
                .Within(free)
                .CacheBytes
        );

    [Theory]
    [InlineData(0)]
    [InlineData(6)]
    public void Rows_wait_where_the_cache_would_grow_past_its_limit_and_nothing_is_lost(int virtualTokens)
    {
        var model = FakeLm.Sure(
            300,
            history => history.Length < history[0] ? (history.Length % 50) + 1 : 0,
            virtualTokens
        );
        // Room for 600 tokens; a token is two float32.
        var generator = new Generator(model, 300, limits: new GenerationLimits { Slots = 8, CacheBytes = 600 * 8 });
        var lengths = new[] { 250, 40, 290, 10, 120, 200, 30, 260, 60, 299 };
        var answers = generator.GenerateAll([.. lengths.Select(length => new GenerationRequest([length]))]);
        Assert.Equal(
            lengths.Select(length => Enumerable.Range(1, length - 1).Select(i => (i % 50) + 1)),
            answers.Select(answer => answer.Tokens)
        );
        Assert.True(model.LargestCache <= 600, $"the cache had {model.LargestCache} places");
        Assert.True(model.PassSizes.Max() > 3);
    }

    [Fact]
    public void Long_prompts_go_in_several_passes()
    {
        var model = FakeLm.Sure(50, history => history.Length < 120 ? 7 : 0);
        var generator = new Generator(model, 50, limits: new GenerationLimits { PassTokens = 30 });
        Assert.Equal(20, generator.Generate(new([.. Enumerable.Repeat(3, 100)])).Tokens.Length);
        Assert.Equal(4 + 20, model.PassSizes.Count);
    }

    [Fact]
    public void Cancellation_ends_generation_between_two_passes()
    {
        using var cancellation = new CancellationTokenSource();
        var generator = new Generator(FakeLm.Sure(50, _ => 7), 50);
        var count = 0;
        Assert.Throws<OperationCanceledException>(() =>
            generator.Generate(
                new([1]),
                _ =>
                {
                    if (++count == 3)
                    {
                        cancellation.Cancel();
                    }
                },
                cancellation.Token
            )
        );
        Assert.Equal(3, count);
    }

    [Fact]
    public void What_is_drawn_depends_on_the_seed_and_not_on_neighbours()
    {
        var model = new FakeLm(
            100,
            history => [.. Enumerable.Range(0, 100).Select(id => id == 0 ? -9f : MathF.Sin(id * history[^1]))]
        );
        var requests = Enumerable
            .Range(0, 6)
            .Select(_ => new GenerationRequest([5])
            {
                Options = new()
                {
                    DoSample = true,
                    Seed = 3,
                    MaxNewTokens = 20,
                },
            })
            .ToList();
        var side = new Generator(model, 100).GenerateAll(requests).Select(answer => answer.Tokens).ToList();
        var single = new Generator(model, 100, limits: new GenerationLimits { Slots = 1 })
            .GenerateAll(requests)
            .Select(answer => answer.Tokens)
            .ToList();
        Assert.Equal(side, single);
        Assert.Equal(6, side.Select(tokens => string.Join(' ', tokens)).Distinct().Count());
        var other = new Generator(model, 100).Generate(
            requests[0] with
            {
                Options = requests[0].Options with { Seed = 4 },
            }
        );
        Assert.NotEqual(side[0], other.Tokens);
    }

    [Fact]
    public void Log_probabilities_are_the_models_own()
    {
        var generator = new Generator(new FakeLm(4, _ => [0, MathF.Log(2), MathF.Log(5), 0]), 4);
        var token = generator
            .Generate(
                new([1])
                {
                    Options = new()
                    {
                        MaxNewTokens = 1,
                        RepetitionPenalty = 1.5,
                        Temperature = 0.3,
                    },
                    LogProbabilities = true,
                    TopLogProbabilities = 2,
                }
            )
            .Generated[0];
        Assert.Equal(2, token.Id);
        Assert.Equal(Math.Log(5.0 / 9), token.LogProbability!.Value, 6);
        Assert.Equal([2, 1], token.TopProbabilities!.Select(likely => likely.Id));
        Assert.Equal(Math.Log(2.0 / 9), token.TopProbabilities![1].LogProbability, 6);
    }

    [Fact]
    public void A_mask_forbids_tokens_by_the_answer_so_far()
    {
        var seen = new List<int[]>();
        var generator = new Generator(FakeLm.Sure(10, _ => 3), 10);
        var answer = generator.Generate(
            new([1])
            {
                Options = new() { MaxNewTokens = 3 },
                Mask = (answer, allowed) =>
                {
                    seen.Add(answer.ToArray());
                    allowed.Clear();
                    allowed[0] = 1u << (5 + answer.Length);
                },
            }
        );
        Assert.Equal([5, 6, 7], answer.Tokens);
        Assert.Equal(
            [
                [],
                [5],
                [5, 6],
            ],
            seen
        );
    }

    [Fact]
    public void A_beam_search_finds_what_greedy_choice_misses()
    {
        // After 1: 2 (0.6) or 3 (0.4); after 2 nothing is likely, after 3 the stop is certain.
        var model = new FakeLm(
            12,
            history =>
                [
                    .. Enumerable
                        .Range(0, 12)
                        .Select(id =>
                            (float)
                                Math.Log(
                                    history[^1] switch
                                    {
                                        1 => id == 2 ? 0.6
                                        : id == 3 ? 0.4
                                        : 1e-9,
                                        3 => id == 0 ? 1 : 1e-9,
                                        _ => 1.0 / 12,
                                    }
                                )
                        ),
                ]
        );
        var generator = new Generator(model, 12, new GenerationOptions { MaxNewTokens = 3 });
        Assert.Equal(2, generator.Generate(new([1])).Tokens[0]);
        var beams = generator.Generate(new([1]) { Options = new() { NumBeams = 2 } });
        Assert.Equal([3], beams.Tokens);
        Assert.Equal(FinishReason.Stop, beams.Finish);
    }

    [Fact]
    public void A_long_beam_search_keeps_its_histories_while_the_cache_grows()
    {
        var model = new FakeLm(
            40,
            history =>
                [
                    .. Enumerable
                        .Range(0, 40)
                        .Select(id =>
                            id == 0
                                ? -20f
                                : MathF.Sin((id * 7) + (history.Length * history[^1]) + history[history.Length / 2])
                        ),
                ]
        )
        {
            VirtualTokens = 2,
        };
        var generator = new Generator(model, 40, new GenerationOptions { MaxNewTokens = 200, NumBeams = 4 });
        var tokens = generator.Generate(new([1, 5])).Tokens;
        Assert.Equal(200, tokens.Length);
        Assert.Equal(Exhaustive(model, [1, 5], 200, 4), tokens);
    }

    [Theory]
    [InlineData("empty")]
    [InlineData("no token")]
    [InlineData("too long")]
    [InlineData("options")]
    public void Requests_that_cannot_be_answered_are_explained(string what)
    {
        var generator = new Generator(FakeLm.Sure(50, _ => 7), 50);
        var (request, message) = what switch
        {
            "empty" => (new GenerationRequest([]), "Prompt 0 is empty"),
            "no token" => (new GenerationRequest([1, 50]), "contains id 50; this model's token ids are 0 to 49"),
            "too long" => (new GenerationRequest(new int[4096]), "limited to 4096 tokens together"),
            _ => (
                new GenerationRequest([1])
                {
                    Options = new() { Temperature = 0, TopP = 2 },
                },
                "temperature is 0"
            ),
        };
        var error = Assert.ThrowsAny<ArgumentException>(() => generator.Generate(request)).Message;
        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.DoesNotContain("(Parameter", error, StringComparison.Ordinal);
    }

    // The same search over whole histories, without a cache or stop tokens.
    private static int[] Exhaustive(FakeLm model, int[] prompt, int steps, int beams)
    {
        var running = new List<(int[] Tokens, float Score)> { (prompt, 0) };
        for (var step = 0; step < steps; step++)
        {
            running =
            [
                .. running
                    .SelectMany(beam =>
                        model
                            .LogProbabilities(beam.Tokens)
                            .Select((score, id) => (Tokens: (int[])[.. beam.Tokens, id], Score: beam.Score + score))
                    )
                    .OrderByDescending(beam => beam.Score)
                    .Take(beams),
            ];
        }

        return running[0].Tokens[prompt.Length..];
    }
}
