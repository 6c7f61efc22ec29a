using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Logging;

namespace GlmTune.Inference.Tests.Chat;

/// <summary>The client below everything that <see cref="ChatClientBuilder"/> puts around it: functions called, answers
/// cached, traced and logged.</summary>
public sealed class ChatClientBuilderTests
{
    private const string Source = "chain";

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_chain_of_everything_calls_functions_and_answers_from_the_cache(bool stream)
    {
        var prompts = new ConcurrentQueue<string>();
        var (calls, log, cache) = (new List<string>(), new Log(), new MemoryCache());
        var spans = new ConcurrentQueue<Activity>();
        var durations = new ConcurrentQueue<double>();
        using var tracing = new ActivityListener
        {
            ShouldListenTo = source => source.Name == Source + stream,
            Sample = (ref _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = spans.Enqueue,
        };
        ActivitySource.AddActivityListener(tracing);
        using var measuring = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == Source + stream && instrument.Name == "gen_ai.client.operation.duration")
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        measuring.SetMeasurementEventCallback<double>((_, value, _, _) => durations.Enqueue(value));
        measuring.Start();

        var weather = AIFunctionFactory.Create(
            (string city) =>
            {
                calls.Add(city);
                return "21 degrees";
            },
            "get_weather",
            "The weather of a city"
        );
        var model = new GlmChatClient(
            ScriptedChat.Answering(prompt =>
            {
                prompts.Enqueue(prompt);
                return prompt.Contains("21 degrees", StringComparison.Ordinal)
                    ? "\nIt is warm."
                    : "get_weather\n{\"city\":  \"北京\"}<|observation|>";
            }),
            "mine",
            ownsModel: true
        );
        using var client = new ChatClientBuilder(model)
            .UseFunctionInvocation(log)
            .UseDistributedCache(cache)
            .UseOpenTelemetry(log, Source + stream, telemetry => telemetry.EnableSensitiveData = true)
            .UseLogging(log)
            .Build();
        var options = new ChatOptions { Tools = [weather], Temperature = 0 };

        var first = await Ask();
        var asked = prompts.Distinct().ToList();
        var stored = cache.Count;
        prompts.Clear();
        var second = await Ask();

        foreach (var answer in (ChatResponse[])[first, second])
        {
            Assert.Equal("It is warm.", answer.Text);
            Assert.Equal(ChatFinishReason.Stop, answer.FinishReason);
            Assert.Equal("mine", answer.ModelId);
            var contents = answer.Messages.SelectMany(message => message.Contents).ToList();
            var call = Assert.Single(contents.OfType<FunctionCallContent>());
            Assert.Equal(call.CallId, Assert.Single(contents.OfType<FunctionResultContent>()).CallId);
        }

        Assert.Equal(["北京", "北京"], calls); // The function is called again, the model is not.
        Assert.Equal(2, asked.Count);
        Assert.Contains(
            "get_weather\n{\"city\":  \"北京\"}<|observation|>\n21 degrees",
            asked[1],
            StringComparison.Ordinal
        );
        Assert.Empty(prompts);
        Assert.Equal((2, 2), (stored, cache.Count));

        // The cache is above telemetry and logging, so they see what reaches the model.
        Assert.Equal(2, durations.Count);
        Assert.Equal(2, spans.Count(span => span.DisplayName == "chat mine"));
        Assert.All(
            spans.Where(span => span.DisplayName == "chat mine"),
            span =>
            {
                Assert.Equal("glmtune", span.GetTagItem("gen_ai.provider.name"));
                Assert.True(span.GetTagItem("gen_ai.usage.output_tokens") is > 0);
                Assert.NotEqual(ActivityStatusCode.Error, span.Status);
            }
        );
        Assert.Equal(
            2,
            log.Lines.Count(line =>
                line.StartsWith("Get", StringComparison.Ordinal) && line.Contains("completed", StringComparison.Ordinal)
            )
        );

        async Task<ChatResponse> Ask()
        {
            ChatMessage[] messages = [new(ChatRole.User, "Weather?")];
            return stream
                ? await client.GetStreamingResponseAsync(messages, options).ToChatResponseAsync()
                : await client.GetResponseAsync(messages, options);
        }
    }

    [Fact]
    public async Task What_was_read_from_the_cache_can_be_sent_back()
    {
        var prompts = new ConcurrentQueue<string>();
        using var client = new GlmChatClient(
            ScriptedChat.Answering(prompt =>
            {
                prompts.Enqueue(prompt);
                return prompt.Contains("<|observation|>", StringComparison.Ordinal)
                    ? "\nWarm."
                    : "\n{\"name\": \"get_weather\", \"arguments\": {\"city\":   1e3}}";
            }),
            ownsModel: true
        ).AsBuilder().UseDistributedCache(new MemoryCache()).Build();
        var options = new ChatOptions { Tools = [AIFunctionFactory.Create((double city) => 1, "get_weather")] };
        ChatMessage[] question = [new(ChatRole.User, "Weather?")];
        await client.GetResponseAsync(question, options);
        var cached = await client.GetResponseAsync(question, options);
        var call = Assert.Single(cached.Messages[0].Contents.OfType<FunctionCallContent>());
        await client.GetResponseAsync(
            [.. question, .. cached.Messages, new(ChatRole.Tool, [new FunctionResultContent(call.CallId, "1")])],
            options
        );
        Assert.Contains(
            "<|assistant|>\n{\"name\": \"get_weather\", \"arguments\": {\"city\":   1e3}}<|observation|>\n1",
            prompts.Last(),
            StringComparison.Ordinal
        );
    }

    private sealed class MemoryCache : IDistributedCache
    {
        private readonly ConcurrentDictionary<string, byte[]> entries = new();

        public int Count => entries.Count;

        public byte[]? Get(string key) => entries.GetValueOrDefault(key);

        public Task<byte[]?> GetAsync(string key, CancellationToken token = default) => Task.FromResult(Get(key));

        public void Set(string key, byte[] value, DistributedCacheEntryOptions options) => entries[key] = value;

        public Task SetAsync(
            string key,
            byte[] value,
            DistributedCacheEntryOptions options,
            CancellationToken token = default
        )
        {
            Set(key, value, options);
            return Task.CompletedTask;
        }

        public void Refresh(string key) { }

        public Task RefreshAsync(string key, CancellationToken token = default) => Task.CompletedTask;

        public void Remove(string key) => entries.TryRemove(key, out _);

        public Task RemoveAsync(string key, CancellationToken token = default)
        {
            Remove(key);
            return Task.CompletedTask;
        }
    }

    private sealed class Log : ILoggerFactory, ILogger
    {
        public ConcurrentQueue<string> Lines { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider) { }

        public void Dispose() { }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        void ILogger.Log<TState>(
            LogLevel logLevel,
            EventId eventId,
            TState state,
            Exception? exception,
            Func<TState, Exception?, string> formatter
        ) => Lines.Enqueue(formatter(state, exception));
    }
}
