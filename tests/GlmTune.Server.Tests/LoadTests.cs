using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Inference;
using GlmTune.Recipes;
using GlmTune.Recipes.Chat;

namespace GlmTune.Server.Tests;

/// <summary>Many clients at the same time: no error, the same answers as one at a time, no growth, no place
/// lost.</summary>
/// <remarks>Alone, because it looks at the process's memory. GLMTUNE_LOAD_SECONDS makes it long; traffic stays on this
/// machine.</remarks>
[Collection(nameof(Alone))]
public sealed class LoadTests(NanoServer nano, ITestOutputHelper output)
{
    private static readonly int Seconds = int.Parse(
        Environment.GetEnvironmentVariable("GLMTUNE_LOAD_SECONDS") ?? "3",
        CultureInfo.InvariantCulture
    );
    private static readonly int Clients = Seconds > 30 ? 64 : 24;
    private static readonly string[] Questions =
    [
        "What is the capital of France?",
        "What is the capital of Italy?",
        "你好",
        "How many days are in a week?",
        "What color is the sky?",
        "Tell me about the sea and the mountains, about rivers and the towns that lie beside them.",
        "1 + 1 = ?",
        "Name three animals.",
        "什么是春天？",
        "Hi",
        "Please say in a short sentence what you can do for me today, and what you cannot.",
        "Where does the sun rise?",
    ];

    [Fact]
    public async Task Many_clients_get_the_answers_that_one_gets_and_leave_nothing_behind()
    {
        var expected = await UnbatchedAsync();
        // Warms up: compiled code, the cache at its size.
        await RunAsync(expected, TimeSpan.FromSeconds(Math.Min(1, Seconds)));
        var before = Memory();
        var report = await RunAsync(expected, TimeSpan.FromSeconds(Seconds));
        var after = Memory();
        output.WriteLine(
            $"{Clients} clients, {Seconds} s: {report.Answered} answers ({report.Answered / (double)Seconds:F0}/s), "
                + $"{report.Tokens} tokens ({report.Tokens / (double)Seconds:F0}/s), "
                + $"{report.Left} left early, {report.Different} of equals told apart otherwise; managed "
                + $"{before.Managed >> 20} to {after.Managed >> 20} MiB, process {before.Process >> 20} to "
                + $"{after.Process >> 20} MiB"
        );
        Assert.True(report.Answered > Clients);
        Assert.True(report.Left > 0);
        Assert.True(
            after.Managed - before.Managed < 16 << 20,
            $"The managed heap grew from {before.Managed} to {after.Managed} bytes."
        );
        Assert.Equal((0, 0), (nano.Queue.Running, nano.Queue.Waiting));
    }

    private sealed record Expected(string Text, int Tokens, IReadOnlyList<(int Id, double Gap)> Chosen);

    private sealed record Report(int Answered, int Tokens, int Left, int Different);

    // Alone, on a model and a cache of its own; with how far each token was ahead of the next one.
    private static async Task<IReadOnlyDictionary<string, Expected>> UnbatchedAsync()
    {
        using var alone = TunedChat.Load(
            Path.GetFullPath(GoldenData.Path("../../models/glm-nano")),
            new TunedChatOptions
            {
                Device = "cpu",
                Type = "float32",
                Limits = new GenerationLimits { Slots = 1, KeepsAnswers = false },
            }
        );
        var answers = new Dictionary<string, Expected>();
        foreach (var question in Questions)
        {
            var request = new ChatRequest(new(([new(Data.Conversations.Role.User, question)])))
            {
                Options = new GenerationOptions { DoSample = false, MaxNewTokens = 40 },
                LogProbabilities = true,
                TopLogProbabilities = 2,
            };
            var (chosen, text, tokens) = (new List<(int, double)>(), "", 0);
            await foreach (var piece in alone.Chat.StreamAsync(request))
            {
                text += piece.Text;
                tokens = piece.Answer?.AnswerTokens ?? tokens;
                if (piece.Token is { TopProbabilities: [var first, var second] } token)
                {
                    chosen.Add((token.Id, first.LogProbability - second.LogProbability));
                }
            }

            answers.Add(question, new Expected(text, tokens, chosen));
        }

        return answers;
    }

    private async Task<Report> RunAsync(IReadOnlyDictionary<string, Expected> expected, TimeSpan time)
    {
        using var http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = Clients })
        {
            BaseAddress = nano.Address,
            Timeout = Timeout.InfiniteTimeSpan,
        }; // The server's own limit holds, however slow the machine is.
        var (answered, tokens, left, different) = (0, 0, 0, 0);
        var errors = new ConcurrentQueue<string>();
        var clock = Stopwatch.StartNew();
        await Task.WhenAll(
            Enumerable
                .Range(0, Clients)
                .Select(async client =>
                {
                    var random = new Random(client);
                    while ((clock.Elapsed < time || Volatile.Read(ref answered) <= Clients) && errors.IsEmpty)
                    {
                        var question = Questions[random.Next(Questions.Length)];
                        var leaves = random.Next(8) == 0;
                        var stream = leaves || random.Next(2) == 0;
                        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions")
                        {
                            Content = Wire.Json(
                                JsonSerializer.Serialize(
                                    new
                                    {
                                        model = "glm-nano",
                                        temperature = 0,
                                        max_tokens = 40,
                                        stream,
                                        stream_options = stream ? new { include_usage = true } : null,
                                        messages = new[] { new { role = "user", content = question } },
                                    }
                                )
                            ),
                        };
                        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
                        if (response.StatusCode != HttpStatusCode.OK)
                        {
                            errors.Enqueue($"{response.StatusCode}: {await response.Content.ReadAsStringAsync()}");
                            return;
                        }

                        if (leaves)
                        {
                            using var body = await response.Content.ReadAsStreamAsync();
                            await body.ReadExactlyAsync(new byte[100]);
                            Interlocked.Increment(ref left);
                            continue;
                        }

                        var (text, count) = stream
                            ? Streamed(await response.Content.ReadAsStringAsync())
                            : Whole(await response.Content.ReadAsStringAsync());
                        Interlocked.Increment(ref answered);
                        Interlocked.Add(ref tokens, count);
                        if (text != expected[question].Text)
                        {
                            Interlocked.Increment(ref different);
                            if (!IsTie(expected[question], text))
                            {
                                errors.Enqueue($"'{question}': expected '{expected[question].Text}', was '{text}'");
                            }
                        }
                    }
                })
        );
        Assert.Empty(errors);
        for (var i = 0; nano.Queue.Running + nano.Queue.Waiting > 0 && i < 500; i++)
        {
            await Task.Delay(10);
        }

        return new Report(answered, tokens, left, different);
    }

    // Sums of several rows at once are rounded otherwise than those of one; that may only tell tokens apart that were
    // as good as equal.
    private bool IsTie(Expected expected, string text)
    {
        var tokenizer = nano.Chat.Template.Tokenizer;
        var common = Encoding.UTF8.GetBytes(expected.Text).AsSpan().CommonPrefixLength(Encoding.UTF8.GetBytes(text));
        var bytes = 0;
        foreach (var (id, gap) in expected.Chosen)
        {
            bytes += tokenizer.BytesOf(id).Length;
            if (bytes >= common)
            {
                return gap < 1e-4;
            }
        }

        return false;
    }

    private static (string Text, int Tokens) Whole(string body)
    {
        var json = JsonNode.Parse(body)!;
        return (
            json["choices"]![0]!["message"]!["content"]!.GetValue<string>(),
            json["usage"]!["completion_tokens"]!.GetValue<int>()
        );
    }

    private static (string Text, int Tokens) Streamed(string body)
    {
        var (text, tokens) = (new StringBuilder(), 0);
        foreach (var line in body.Split('\n').Where(line => line.StartsWith("data: {", StringComparison.Ordinal)))
        {
            var json = JsonNode.Parse(line["data: ".Length..])!;
            text.Append(
                json["choices"] is JsonArray { Count: > 0 } choices
                    ? choices[0]!["delta"]!["content"]?.GetValue<string>()
                    : null
            );
            tokens += json["usage"]?["completion_tokens"]?.GetValue<int>() ?? 0;
        }

        Assert.EndsWith("data: [DONE]\n\n", body);
        return (text.ToString(), tokens);
    }

    private static (long Managed, long Process) Memory()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        using var process = Process.GetCurrentProcess();
        return (GC.GetTotalMemory(forceFullCollection: true), process.WorkingSet64);
    }
}

/// <summary>Tests that run while no others do.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;
