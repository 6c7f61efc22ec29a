using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.ServerSentEvents;
using System.Text.Json;

namespace GlmTune.Benchmarking.Stress;

/// <summary>Load-tests any server with OpenAI's chat completions, using streamed answers.</summary>
/// <remarks>Prompts are random words of about one token each; the server's own token counts are reported. If it reports
/// none, the chunks of the answer are counted.</remarks>
internal sealed class StressServer : IStressTarget, IDisposable
{
    private readonly HttpClient client;
    private readonly string model;

    /// <param name="baseUrl">Base URL with the version, such as <c>http://127.0.0.1:8000/v1</c>; without it, <c>/v1</c>
    /// is appended.</param>
    /// <param name="model">The model that requests name.</param>
    /// <param name="apiKey">Sent as a bearer token; null: none.</param>
    public StressServer(Uri baseUrl, string model, string? apiKey = null)
    {
        this.model = model;
        var root = baseUrl.ToString().TrimEnd('/');
        client = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = int.MaxValue })
        {
            BaseAddress = new Uri(root.EndsWith("/v1", StringComparison.Ordinal) ? $"{root}/" : $"{root}/v1/"),
            Timeout = Timeout.InfiniteTimeSpan,
        };
        client.DefaultRequestHeaders.Authorization = apiKey is null
            ? null
            : new AuthenticationHeaderValue("Bearer", apiKey);
    }

    /// <inheritdoc/>
    public string Name => $"{model} at {client.BaseAddress}";

    /// <summary>The first model that a server lists.</summary>
    /// <exception cref="InvalidDataException">The server cannot be reached, or lists no models.</exception>
    public static async Task<string> FirstModelAsync(Uri baseUrl, string? apiKey, CancellationToken cancellation)
    {
        using var server = new StressServer(baseUrl, "", apiKey);
        try
        {
            using var list = JsonDocument.Parse(
                await server.client.GetByteArrayAsync("models", cancellation).ConfigureAwait(false)
            );
            return list.RootElement.GetProperty("data")[0].GetProperty("id").GetString()!;
        }
        catch (Exception e)
            when (e
                    is HttpRequestException
                        or JsonException
                        or KeyNotFoundException
                        or InvalidOperationException
                        or IndexOutOfRangeException
            )
        {
            throw new InvalidDataException(
                $"{server.client.BaseAddress}models: {e.Message} Name the model with --model.",
                e
            );
        }
    }

    /// <inheritdoc/>
    /// <exception cref="HttpRequestException">The server refuses the request or breaks off.</exception>
    public async Task<StressAnswer> AskAsync(StressRequest asked, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "chat/completions")
        {
            Content = JsonContent.Create(
                new
                {
                    model = asked.Adapter ?? model,
                    messages = new[] { new { role = "user", content = StressPrompt.Text(asked) } },
                    max_tokens = asked.MaxNewTokens,
                    temperature = 0,
                    stream = true,
                    stream_options = new { include_usage = true },
                }
            ),
        };
        var clock = Stopwatch.StartNew();
        using var response = await client
            .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation)
            .ConfigureAwait(false);
        if (!response.IsSuccessStatusCode)
        {
            var said = await response.Content.ReadAsStringAsync(cancellation).ConfigureAwait(false);
            throw new HttpRequestException(
                $"{(int)response.StatusCode} {response.StatusCode}: {(said.Length > 300 ? said[..300] : said)}"
            );
        }

        var times = new List<TimeSpan>();
        (int Prompt, int Answer)? usage = null;
        var stream = await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            await foreach (var item in SseParser.Create(stream).EnumerateAsync(cancellation).ConfigureAwait(false))
            {
                if (item.Data == "[DONE]")
                {
                    break;
                }

                using var chunk = JsonDocument.Parse(item.Data);
                if (HasContent(chunk.RootElement))
                {
                    times.Add(clock.Elapsed);
                }

                usage = Usage(chunk.RootElement) ?? usage;
            }
        }

        return times.Count == 0
            ? throw new HttpRequestException("The answer has no text.")
            : new StressAnswer(usage?.Prompt ?? asked.PromptTokens, usage?.Answer ?? times.Count, times[0], times[^1])
            {
                Gaps = StressAnswer.GapsOf(times),
            };
    }

    /// <inheritdoc/>
    public void Dispose() => client.Dispose();

    private static bool HasContent(JsonElement chunk)
    {
        if (chunk.TryGetProperty("error", out var error))
        {
            throw new HttpRequestException($"The answer was cut short: {error.GetRawText()}");
        }

        return chunk.TryGetProperty("choices", out var choices)
            && choices.ValueKind == JsonValueKind.Array
            && choices
                .EnumerateArray()
                .Any(choice =>
                    choice.TryGetProperty("delta", out var delta)
                    && delta.ValueKind == JsonValueKind.Object
                    && (
                        HasText(delta, "content")
                        || HasText(delta, "reasoning_content")
                        || delta.TryGetProperty("tool_calls", out _)
                    )
                );
    }

    private static bool HasText(JsonElement delta, string key) =>
        delta.TryGetProperty(key, out var text)
        && text.ValueKind == JsonValueKind.String
        && text.GetString()!.Length > 0;

    private static (int Prompt, int Answer)? Usage(JsonElement chunk) =>
        chunk.TryGetProperty("usage", out var usage) && usage.ValueKind == JsonValueKind.Object
            ? (usage.GetProperty("prompt_tokens").GetInt32(), usage.GetProperty("completion_tokens").GetInt32())
            : null;
}
