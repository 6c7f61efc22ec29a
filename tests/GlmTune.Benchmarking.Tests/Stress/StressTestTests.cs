using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using GlmTune.Benchmarking.Stress;
using GlmTune.Constraints;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Inference;
using GlmTune.Inference.Tests;

namespace GlmTune.Benchmarking.Tests.Stress;

public class StressTestTests
{
    [Fact]
    public async Task Every_setting_is_measured_with_prompts_of_its_own()
    {
        var target = new Scripted(
            (length, asker) =>
                new StressAnswer(length + 1, 5, TimeSpan.FromSeconds(asker), TimeSpan.FromSeconds(asker + 2))
        );
        var seen = new List<StressResult>();
        var options = new StressOptions
        {
            PromptTokens = [10, 20],
            Concurrency = [1, 4],
            Rounds = 5,
            MaxNewTokens = 50,
        };
        var results = await StressTest.RunAsync(target, options, seen.Add, TestContext.Current.CancellationToken);
        Assert.Equal(results, seen);
        Assert.Equal(
            [(10, 1, 5), (10, 4, 20), (20, 1, 5), (20, 4, 20)],
            results.Select(result => (result.PromptTokens, result.Concurrency, result.Requests))
        );
        Assert.All(
            results,
            result =>
                Assert.Equal(
                    (0, result.PromptTokens + 1, result.Requests * 5),
                    (result.Failed, result.MeanPromptTokens, result.AnswerTokens)
                )
        );
        Assert.All(
            results,
            result => Assert.Equal((2.0, 2.0), (result.TokensPerSecond.Mean, result.TokensPerSecond.P99))
        );
        Assert.Equal(
            [16, 16],
            target.Asked.Where(asked => asked.MaxNewTokens != 50).Select(asked => asked.MaxNewTokens)
        );
        Assert.Equal(
            50,
            target.Asked.Where(asked => asked.MaxNewTokens == 50).Select(asked => asked.FirstDraw).Distinct().Count()
        );
        var again = new Scripted((length, _) => new StressAnswer(length, 1, TimeSpan.Zero, TimeSpan.Zero));
        await StressTest.RunAsync(again, options, stop: TestContext.Current.CancellationToken);
        Assert.Equal(
            target.Asked.Select(asked => asked.FirstDraw).Order(),
            again.Asked.Select(asked => asked.FirstDraw).Order()
        );
    }

    [Fact]
    public async Task Failures_are_counted_and_the_first_is_told()
    {
        var target = new Scripted(
            (_, asked) =>
                asked % 3 == 2
                    ? throw new InvalidOperationException("busy")
                    : new StressAnswer(6, 1, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1))
        );
        var result = Assert.Single(
            await StressTest.RunAsync(
                target,
                new StressOptions { PromptTokens = [6], Rounds = 9 },
                stop: TestContext.Current.CancellationToken
            )
        );
        Assert.Equal((6, 3, "busy"), (result.Requests, result.Failed, result.Error));
        Assert.True(double.IsNaN(result.TokensPerSecond.Mean));
        var dead = new Scripted((_, _) => throw new HttpRequestException("refused"));
        Assert.Contains(
            "refused",
            (
                await Assert.ThrowsAsync<InvalidDataException>(() =>
                    StressTest.RunAsync(dead, new StressOptions(), stop: TestContext.Current.CancellationToken)
                )
            ).Message,
            StringComparison.Ordinal
        );
        await Assert.ThrowsAsync<ArgumentException>(() =>
            StressTest.RunAsync(
                dead,
                new StressOptions { PromptTokens = [5] },
                stop: TestContext.Current.CancellationToken
            )
        );
    }

    [Fact]
    public async Task Lengths_can_be_mixed_and_requests_can_come_at_random_times()
    {
        var target = new Scripted(
            (length, _) =>
                new StressAnswer(length, 3, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2)) { Gaps = [0.2, 0.4] }
        );
        var options = new StressOptions
        {
            PromptTokens = [10, 30],
            Concurrency = [5],
            Rounds = 8,
            Mixed = true,
            SharedTokens = 7,
            Rate = 1e6,
        };
        var result = Assert.Single(
            await StressTest.RunAsync(target, options, stop: TestContext.Current.CancellationToken)
        );
        Assert.Equal((20, 40), (result.PromptTokens, result.Requests));
        Assert.Equal(0.3, result.BetweenTokensSeconds.P50, 1e-9);
        Assert.Equal(0.4, result.BetweenTokensSeconds.P99, 1e-9);
        var requests = target.Requests.Skip(1).ToList();
        Assert.Equal([10, 30], requests.Select(request => request.PromptTokens).Distinct().Order());
        Assert.All(requests, request => Assert.Equal(7, request.SharedTokens));
        var times = StressTest.Arrivals(rate: 50, count: 10_000, seed: 3);
        Assert.Equal(times.Order(), times);
        Assert.InRange(times[^1].TotalSeconds, 190, 210);
        Assert.Throws<ArgumentException>(() => (options with { Rate = 0 }).Check());
    }

    [Fact]
    public async Task Adapters_are_asked_in_turn()
    {
        var target = new Scripted((_, _) => new StressAnswer(6, 1, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1)));
        var options = new StressOptions
        {
            PromptTokens = [6],
            Concurrency = [4],
            Rounds = 3,
            Adapters = ["a", "b", "c"],
        };
        await StressTest.RunAsync(target, options, stop: TestContext.Current.CancellationToken);
        Assert.Equal(
            [("a", 4), ("b", 4), ("c", 4)],
            target
                .Requests.Skip(1)
                .GroupBy(request => request.Adapter!)
                .Select(group => (group.Key, group.Count()))
                .Order()
        );
    }

    [Fact]
    public void Prompts_share_the_beginning_that_they_are_to_share()
    {
        string[] Words(int seed, int shared) =>
            StressPrompt.Text(new StressRequest(60, 1, new Random(seed)) { SharedTokens = shared }).Split(' ');
        var (one, two) = (Words(1, 40), Words(2, 40));
        Assert.Equal((60, 60), (one.Length, two.Length));
        Assert.Equal(one[..40], two[..40]);
        Assert.NotEqual(one[40..], two[40..]);
        Assert.NotEqual(Words(1, 0)[..40], Words(2, 0)[..40]);
    }

    [Fact]
    public void Percentiles_are_interpolated()
    {
        var spread = StressSpread.Of([.. Enumerable.Range(0, 101).Select(i => 100.0 - i), double.NaN]);
        Assert.Equal(new StressSpread(50, 50, 90, 99), spread);
        Assert.Equal(1.5, StressSpread.Of([1, 2]).P50);
        Assert.Equal(7, StressSpread.Of([7]).P99);
        Assert.True(double.IsNaN(StressSpread.Of([]).P50));
    }

    [Fact]
    public async Task A_model_answers_in_full_length_prompts_of_the_wanted_length()
    {
        var tokenizer = new Tokenizer(
            [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value })],
            SpecialTokens.After(256)
        );
        var model = FakeLm.Sure(300, history => history.Length % 2 == 0 ? tokenizer.Special.User : 65);
        using var chat = new ChatModel(model, new Glm4Template(tokenizer));
        var result = Assert.Single(
            await StressTest.RunAsync(
                new StressModel(chat, "fake"),
                new StressOptions
                {
                    PromptTokens = [33],
                    Concurrency = [3],
                    Rounds = 2,
                    MaxNewTokens = 20,
                },
                stop: TestContext.Current.CancellationToken
            )
        );
        Assert.Equal(
            (6, 0, 120L, 33.0),
            (result.Requests, result.Failed, result.AnswerTokens, result.MeanPromptTokens)
        );
        var ids = StressPrompt.Ids(tokenizer, new StressRequest(12, 1, new Random(1)));
        Assert.Equal(12, ids.Length);
        Assert.Equal([tokenizer.Special.GMask, tokenizer.Special.Sop, tokenizer.Special.User, 10], ids[..4]);
        Assert.Equal(tokenizer.Special.Assistant, ids[^1]);
        Assert.All(ids[4..^1], id => Assert.InRange(id, 3, 255));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_server_is_asked_as_any_client_would(bool counts)
    {
        using var server = new TinyServer(counts);
        Assert.Equal(
            "m1",
            await StressServer.FirstModelAsync(server.Address, "secret", TestContext.Current.CancellationToken)
        );
        using var target = new StressServer(server.Address, "m1", "secret");
        var result = Assert.Single(
            await StressTest.RunAsync(
                target,
                new StressOptions
                {
                    PromptTokens = [9],
                    Concurrency = [2],
                    Rounds = 2,
                    MaxNewTokens = 4,
                },
                stop: TestContext.Current.CancellationToken
            )
        );
        Assert.Equal((4, 0, null), (result.Requests, result.Failed, result.Error));
        Assert.Equal(counts ? (11.0, 28L) : (9.0, 12L), (result.MeanPromptTokens, result.AnswerTokens));
        Assert.Equal(9, server.Last.GetProperty("messages")[0].GetProperty("content").GetString()!.Split(' ').Length);
        Assert.Equal(
            (4, 0, true),
            (
                server.Last.GetProperty("max_tokens").GetInt32(),
                server.Last.GetProperty("temperature").GetInt32(),
                server.Last.GetProperty("stream").GetBoolean()
            )
        );
        Assert.Equal("m1", server.Last.GetProperty("model").GetString());
        await target.AskAsync(
            new StressRequest(9, 4, new Random(1)) { Adapter = "ads" },
            TestContext.Current.CancellationToken
        );
        Assert.Equal("ads", server.Last.GetProperty("model").GetString());
        using var unknown = new StressServer(server.Address, "m1", "wrong");
        Assert.Contains(
            "401",
            (
                await Assert.ThrowsAsync<HttpRequestException>(() =>
                    unknown.AskAsync(new StressRequest(9, 4, new Random(1)), TestContext.Current.CancellationToken)
                )
            ).Message,
            StringComparison.Ordinal
        );
    }

    private sealed class Scripted(Func<int, int, StressAnswer> answer) : IStressTarget
    {
        private int asked = -1;

        public System.Collections.Concurrent.ConcurrentQueue<(int MaxNewTokens, int FirstDraw)> Asked { get; } = [];

        public System.Collections.Concurrent.ConcurrentQueue<StressRequest> Requests { get; } = [];

        public string Name => "scripted";

        public Task<StressAnswer> AskAsync(StressRequest request, CancellationToken cancellation)
        {
            Requests.Enqueue(request);
            Asked.Enqueue((request.MaxNewTokens, request.Random.Next()));
            return Task.FromResult(answer(request.PromptTokens, Interlocked.Increment(ref asked)));
        }
    }

    /// <summary>Three pieces for every question, and the counts at the end if it counts.</summary>
    private sealed class TinyServer : IDisposable
    {
        private readonly HttpListener listener = new();
        private readonly bool counts;

        public TinyServer(bool counts)
        {
            this.counts = counts;
            using (var free = new TcpListener(IPAddress.Loopback, 0))
            {
                free.Start();
                Address = new Uri($"http://127.0.0.1:{((IPEndPoint)free.LocalEndpoint).Port}/");
            }

            listener.Prefixes.Add(Address.ToString());
            listener.Start();
            _ = Task.Run(ServeAsync);
        }

        public Uri Address { get; }

        public JsonElement Last { get; private set; }

        public void Dispose() => listener.Close();

        private async Task ServeAsync()
        {
            while (listener.IsListening)
            {
                try
                {
                    var call = await listener.GetContextAsync();
                    _ = Task.Run(() => Answer(call));
                }
                catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
                {
                    return;
                }
            }
        }

        private void Answer(HttpListenerContext call)
        {
            var text = "{\"data\": [{\"id\": \"m1\"}, {\"id\": \"m2\"}]}";
            if (call.Request.Headers["Authorization"] != "Bearer secret")
            {
                call.Response.StatusCode = 401;
            }
            else if (call.Request.Url!.AbsolutePath == "/v1/chat/completions")
            {
                Last = JsonDocument.Parse(call.Request.InputStream).RootElement;
                text =
                    """
                        data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}

                        data: {"choices": [{"delta": {"reasoning_content": "a"}}]}

                        data: {"choices": [{"delta": {"content": "b"}}], "usage": null}

                        data: {"choices": [{"delta": {"content": "c"}, "finish_reason": "length"}]}


                        """
                    + (
                        counts
                            ? "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 11, \"completion_tokens\": "
                                + "7}}\n\n"
                            : ""
                    )
                    + "data: [DONE]\n\n";
            }

            call.Response.OutputStream.Write(Encoding.UTF8.GetBytes(text));
            call.Response.Close();
        }
    }
}
