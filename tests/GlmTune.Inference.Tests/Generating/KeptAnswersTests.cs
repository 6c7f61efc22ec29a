using GlmTune.Data.Conversations;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Inference.Tests.Generating;

/// <summary>What finished answers leave in the cache; the fake model would answer wrongly where a row took over what is
/// not its own.</summary>
public class KeptAnswersTests
{
    // The next token follows from all tokens so far, so that a wrong one anywhere in the cache is seen.
    private static FakeLm Summing(int virtualTokens = 0) => FakeLm.Sure(97, Next, virtualTokens);

    private static int Next(int[] history) => (history.Aggregate(7, (sum, id) => ((sum * 31) + id) % 95) % 95) + 1;

    // Of so many equal tokens, those in whole blocks.
    private static int InBlocks(int tokens, int virtualTokens) =>
        ((virtualTokens + tokens) / CachedBlocks.Tokens * CachedBlocks.Tokens) - virtualTokens;

    private static int[] Expected(int[] prompt, int count)
    {
        var tokens = prompt.ToList();
        for (var i = 0; i < count; i++)
        {
            tokens.Add(Next([.. tokens]));
        }

        return [.. tokens.Skip(prompt.Length)];
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public void A_conversation_that_goes_on_is_not_read_again(int virtualTokens)
    {
        var model = Summing(virtualTokens);
        using var talk = new Talk(model, new GenerationLimits());
        int[] prompt = [.. Enumerable.Range(1, 40)];
        var answer = talk.Ask(prompt, 10);
        Assert.Equal((0, 40), (talk.CachedTokens, model.PassTokens[0]));
        int[] next = [.. prompt, .. answer, 50, 51, 52];
        model.PassTokens.Clear();
        talk.Ask(next, 10);

        // The last token of an answer was chosen but never read. Only whole blocks are known.
        Assert.Equal((Known(49), 53 - Known(49)), (talk.CachedTokens, model.PassTokens[0]));
        talk.Ask([.. next[..45], 9, 9], 5);
        Assert.Equal(Known(45), talk.CachedTokens);
        talk.Ask([.. next[..45], 9, 9], 5);
        Assert.Equal(Known(46), talk.CachedTokens);

        int Known(int tokens) => InBlocks(tokens, virtualTokens);
    }

    [Theory]
    [InlineData(0, 4096)]
    [InlineData(3, 4096)]
    [InlineData(3, 15)]
    public void Rows_that_are_alike_are_read_once_whoever_leaves(int virtualTokens, int passTokens)
    {
        var model = Summing(virtualTokens);
        var generator = new Generator(
            model,
            97,
            new GenerationOptions { EosTokenIds = [], MaxNewTokens = 5 },
            new GenerationLimits { PassTokens = passTokens }
        );
        using var queue = generator.NewQueue();
        int[] prompt = [.. Enumerable.Range(1, 40)];
        int[] other = [.. prompt[..39], 90];
        var answers = new Dictionary<int, List<int>>();
        List<GenerationRow> rows =
        [
            .. ((int[][])[prompt, prompt, other, prompt, other]).Select(
                (tokens, index) => generator.NewRow(index, new GenerationRequest(tokens))
            ),
        ];
        rows.ForEach(queue.Add);
        Step();
        if (passTokens < 40)
        {
            // It was read for the others, and is not complete yet: another starts from the beginning.
            queue.Remove(rows[0]);
            rows.RemoveAt(0);
        }

        while (queue.HasWork)
        {
            Step();
        }

        Assert.Equal(
            rows.Select(row => (row.Index, string.Join(' ', Expected([.. row.Request.Prompt], 5)))),
            answers.OrderBy(answer => answer.Key).Select(answer => (answer.Key, string.Join(' ', answer.Value)))
        );
        // The row that was removed left a block; the next one's blocks serve the row that differs in the last token.
        var read = passTokens < 40 ? 15 + (40 - InBlocks(15, 3)) + (40 - InBlocks(39, 3)) : 80;
        Assert.Equal(read + (rows.Count * 4), model.PassTokens.Sum());

        void Step() =>
            queue.Step(
                (row, token) =>
                {
                    if (!answers.TryGetValue(row.Index, out var answer))
                    {
                        answers.Add(row.Index, answer = []);
                    }

                    answer.Add(token.Id);
                },
                (_, e) => throw e
            );
    }

    [Fact]
    public void Rows_that_are_alike_share_what_a_kept_answer_left_and_decode_as_alone()
    {
        using var model = ModelFolder.Load(GoldenData.Path("glm-tiny/model-hf"), ScalarType.Float64, CPU);
        using var served = new ServedAdapters(model);
        served.Load("prefix", GoldenData.Path("glm-tiny/adapter-prefix"));
        var generator = new Generator(model, 640, new GenerationOptions { MaxNewTokens = 6, EosTokenIds = [] });
        using var queue = generator.NewQueue();
        int[] prompt = [.. Enumerable.Range(30, 25)];
        var kept = Answer(new GenerationRequest(prompt) { Adapter = "prefix" })[0];
        int[] longer = [.. prompt, .. kept, 77];
        foreach (var tokens in (int[][])[prompt, longer])
        {
            // Of what is alike, but for the adapter, two by two.
            var requests = ((string?[])["prefix", null, "prefix", null])
                .Select(
                    (adapter, i) =>
                        new GenerationRequest(tokens)
                        {
                            Adapter = adapter,
                            Options = new() { DoSample = i > 1, Seed = 4 },
                        }
                )
                .ToArray();
            Assert.Equal(
                requests.Select(request => string.Join(' ', generator.Generate(request).Tokens)),
                Answer(requests).Select(answer => string.Join(' ', answer))
            );
        }

        List<int>[] Answer(params GenerationRequest[] requests)
        {
            var rows = Array.ConvertAll(requests, request => generator.NewRow(0, request));
            var answers = Array.ConvertAll(rows, _ => new List<int>());
            Array.ForEach(rows, queue.Add);
            while (queue.HasWork)
            {
                queue.Step((row, token) => answers[Array.IndexOf(rows, row)].Add(token.Id), (_, e) => throw e);
            }

            return answers;
        }
    }

    [Fact]
    public void Another_conversation_with_the_same_beginning_copies_it_and_leaves_the_first_whole()
    {
        using var talk = new Talk(Summing(), new GenerationLimits());
        int[] system = [.. Enumerable.Range(1, 20)];
        int[] first = [.. system, .. Enumerable.Repeat(60, 50)];
        talk.Ask(first, 4);
        talk.Ask([.. system, .. Enumerable.Repeat(70, 9)], 4);
        Assert.Equal(16, talk.CachedTokens);
        talk.Ask([.. first, 3], 4);
        Assert.Equal(64, talk.CachedTokens);
        talk.Ask([1, 2, 80], 4);
        Assert.Equal(0, talk.CachedTokens);
    }

    [Theory]
    [InlineData(true, 1 << 20, true)]
    [InlineData(false, 1 << 20, false)]
    [InlineData(true, 5 * 16 * 8, true)]
    [InlineData(true, 3 * 16 * 8, false)]
    public void The_least_recently_used_goes_first_where_memory_is_needed(bool keeps, long bytes, bool remains)
    {
        var model = Summing();
        using var talk = new Talk(model, new GenerationLimits { KeepsAnswers = keeps, CacheBytes = bytes });
        int[] a = [.. Enumerable.Repeat(5, 30)];
        int[] b = [.. Enumerable.Repeat(6, 30)];
        talk.Ask(a, 4);
        talk.Ask(b, 4);
        talk.Ask(a, 4);
        Assert.Equal(remains ? 16 : 0, talk.CachedTokens);
        Assert.True(model.LargestCache * 8L <= bytes);
    }

    [Fact]
    public async Task Many_conversations_at_a_time_are_answered_as_each_alone()
    {
        var model = Summing();
        using var scheduler = new GenerationScheduler(
            new Generator(
                model,
                97,
                limits: new GenerationLimits
                {
                    Slots = 4,
                    CacheBytes = 6 * 128 * 8,
                    PassTokens = 50,
                }
            )
        );
        var cached = await Task.WhenAll(
            Enumerable
                .Range(0, 12)
                .Select(async conversation =>
                {
                    var random = new Random(conversation);
                    int[] tokens = [.. Enumerable.Range(1, 20), conversation];
                    var reused = 0;
                    for (var turn = 0; turn < 6; turn++)
                    {
                        tokens =
                        [
                            .. tokens,
                            .. Enumerable.Range(0, random.Next(1, 30)).Select(_ => random.Next(1, 96)),
                        ];
                        var count = random.Next(1, 20);
                        var answer = new List<int>();
                        await foreach (
                            var token in scheduler.StreamAsync(
                                new(tokens)
                                {
                                    Options = new() { MaxNewTokens = count, EosTokenIds = [] },
                                }
                            )
                        )
                        {
                            answer.Add(token.Id);
                            reused += answer.Count == 1 ? token.CachedTokens : 0;
                        }

                        Assert.Equal(Expected(tokens, count), answer);
                        tokens = [.. tokens, .. answer];
                    }

                    return reused;
                })
        );
        Assert.True(cached.Sum() > 200);
    }

    [Fact]
    public void Only_the_same_adapters_rows_are_taken_over_and_answers_stay_the_same()
    {
        using var model = ModelFolder.Load(GoldenData.Path("glm-tiny/model-hf"), ScalarType.Float64, CPU);
        using var served = new ServedAdapters(model);
        served.Load("lora", GoldenData.Path("glm-tiny/adapter-lora"));
        served.Load("prefix", GoldenData.Path("glm-tiny/adapter-prefix"));
        var generator = new Generator(model, 640, new GenerationOptions { MaxNewTokens = 6, EosTokenIds = [] });
        using var talk = new Talk(generator);
        int[] prompt = [.. Enumerable.Range(30, 25)];
        foreach (var adapter in (string?[])[null, "lora", "prefix"])
        {
            var tokens = prompt;
            for (var turn = 0; turn < 3; turn++)
            {
                var request = new GenerationRequest(tokens) { Adapter = adapter };
                var answer = talk.Ask(request);
                var virtualTokens = served.All.FirstOrDefault(other => other.Name == adapter)?.VirtualTokens ?? 0;
                Assert.Equal(turn == 0 ? 0 : InBlocks(tokens.Length - 3, virtualTokens), talk.CachedTokens);
                Assert.Equal(generator.Generate(request).Tokens, answer);
                tokens = [.. tokens, .. answer, 77, 78];
            }
        }

        generator.BetweenPasses(() => served.Unload("prefix"));
        served.Load("prefix", GoldenData.Path("glm-tiny/adapter-prefix"));
        talk.Ask(new GenerationRequest(prompt) { Adapter = "prefix" });
        Assert.Equal(0, talk.CachedTokens);
    }

    [Fact]
    public void Logits_over_taken_over_keys_agree_with_fresh_ones()
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(GoldenData.Path("glm-tiny/model-hf"), ScalarType.Float64, CPU);
        using var cache = model.NewCache(2, 32);
        int[] ids = [.. Enumerable.Range(30, 20)];
        model.Logits(
            ids[..12],
            SequenceLayout.OfRows(1, 12, CPU),
            new CacheStep(cache, [0], [0], [12]),
            lastOnly: true
        );
        cache.Copy([(cache.BlockOf(0, 0), cache.BlockOf(1, 0))]);
        var reused = model.Logits(
            ids[9..],
            SequenceLayout.OfRows(1, 11, CPU),
            new CacheStep(cache, [1], [9], [11]),
            lastOnly: true
        );
        var fresh = model.Logits(ids, SequenceLayout.OfRows(1, 20, CPU), lastOnly: true);
        Assert.Equal(0, (reused - fresh).abs().max().item<double>(), 1e-12);
    }

    [Fact]
    public async Task A_chat_reads_only_what_is_new()
    {
        using var model = ScriptedChat.Answering(_ => "\nHello.");
        var session = new ChatSession(model, "Be kind.");
        await session.AskAsync("Hi").Joined();
        var first = session.LastAnswer!;
        await session.AskAsync("And?").Joined();
        Assert.Equal(0, first.CachedTokens);
        Assert.Equal(InBlocks(first.PromptTokens + first.AnswerTokens - 1, 0), session.LastAnswer!.CachedTokens);
        Assert.Equal(Role.Assistant, session.History[^1].Role);
    }

    // One request after another through one batch, as a scheduler does it.
    private sealed class Talk(Generator generator) : IDisposable
    {
        private readonly GenerationQueue queue = generator.NewQueue();

        public Talk(FakeLm model, GenerationLimits limits)
            : this(new Generator(model, 97, new GenerationOptions { EosTokenIds = [] }, limits)) { }

        public int CachedTokens { get; private set; }

        public int[] Ask(int[] prompt, int count)
        {
            var answer = Ask(new GenerationRequest(prompt) { Options = new() { MaxNewTokens = count } });
            Assert.Equal(Expected(prompt, count), answer);
            return answer;
        }

        public int[] Ask(GenerationRequest request)
        {
            var answer = new List<int>();
            queue.Add(generator.NewRow(0, request));
            while (queue.HasWork)
            {
                queue.Step(
                    (_, token) =>
                    {
                        answer.Add(token.Id);
                        CachedTokens = token.CachedTokens;
                    },
                    (_, e) => throw e
                );
            }

            return [.. answer];
        }

        public void Dispose() => queue.Dispose();
    }
}
