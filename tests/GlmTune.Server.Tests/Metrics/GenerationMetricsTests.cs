using System.Text.Json.Nodes;
using GlmTune.Inference.Tests;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace GlmTune.Server.Tests;

/// <summary>Metrics by the names of OpenTelemetry's conventions for generative AI, and of the cache.</summary>
public sealed class GenerationMetricsTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("/v1/chat/completions", "chat", """{"messages":[{"role":"user","content":"Hi"}]}""")]
    [InlineData("/v1/chat/completions", "chat", """{"stream":true,"messages":[{"role":"user","content":"Hi"}]}""")]
    [InlineData("/v1/completions", "text_completion", """{"prompt":[USER,65,ASSISTANT],"max_tokens":9}""")]
    public async Task A_request_has_a_duration_a_first_token_and_a_time_per_token(
        string path,
        string operation,
        string body
    )
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nHello, you."));
        var special = ScriptedChat.Bytes.Special;
        var text = body.Replace("ASSISTANT", $"{special.Assistant}", StringComparison.Ordinal)
            .Replace("USER", $"{special.User}", StringComparison.Ordinal);
        using var response = await server.Http.PostAsync(path, Wire.Json(text), Stop);
        response.EnsureSuccessStatusCode();
        await response.Content.ReadAsStringAsync(Stop);

        var families = await ReadAsync(server, "gen_ai_server_request_duration_seconds");
        foreach (
            var name in (string[])
                [
                    "gen_ai_server_request_duration_seconds",
                    "gen_ai_server_time_to_first_token_seconds",
                    "gen_ai_server_time_per_output_token_seconds",
                ]
        )
        {
            var count = families[name].Samples.Single(sample => sample.Name == $"{name}_count");
            Assert.Equal(1, count.Value);
            Assert.Equal(
                [
                    ("gen_ai_operation_name", operation),
                    ("gen_ai_provider_name", "glmtune"),
                    ("gen_ai_request_model", "scripted"),
                    ("gen_ai_response_model", "scripted"),
                ],
                count
                    .Labels.Where(label => label.Key != "otel_scope_name")
                    .Select(label => (label.Key, label.Value))
                    .Order()
            );
        }

        Assert.Equal(
            ["0.01", "0.02", "0.04", "0.08", "0.16", "0.32", "0.64", "1.28", "2.56", "5.12", "10.24", "20.48", "40.96"],
            families["gen_ai_server_request_duration_seconds"]
                .Samples.Where(sample => sample.Labels.ContainsKey("le"))
                .Select(sample => sample.Labels["le"])
                .SkipLast(2)
        );
    }

    [Theory]
    [InlineData("{", "400", null)]
    [InlineData("""{"model":"nobody","messages":[{"role":"user","content":"Hi"}]}""", "404", null)]
    [InlineData("""{"top_p":7,"messages":[{"role":"user","content":"Hi"}]}""", "400", null)]
    [InlineData("""{"messages":[{"role":"user","content":"Hi"}]}""", "500", "scripted")]
    public async Task A_failed_request_counts_with_its_status_alone(string body, string error, string? model)
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => throw new InvalidOperationException("broken"))
        );
        using var response = await server.Http.PostAsync("/v1/chat/completions", Wire.Json(body), Stop);
        Assert.Equal(error, $"{(int)response.StatusCode}");
        await response.Content.ReadAsStringAsync(Stop);

        var families = await ReadAsync(server, "gen_ai_server_request_duration_seconds");
        var labels = Assert
            .Single(
                families["gen_ai_server_request_duration_seconds"].Samples,
                sample => sample.Name.EndsWith("_count", StringComparison.Ordinal)
            )
            .Labels;
        Assert.Equal(error, labels["error_type"]);
        Assert.Equal(model, labels.GetValueOrDefault("gen_ai_request_model"));
        Assert.DoesNotContain("gen_ai_server_time_to_first_token_seconds", families.Keys);
        Assert.DoesNotContain("gen_ai_server_time_per_output_token_seconds", families.Keys);
    }

    [Fact]
    public async Task Other_endpoints_are_no_generation()
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nx"));
        await server.Http.GetStringAsync("/v1/models", Stop);
        var families = await ReadAsync(server, "glmtune_requests_total");
        Assert.DoesNotContain("gen_ai_server_request_duration_seconds", families.Keys);
    }

    [Fact]
    public async Task Times_run_from_the_arrival_and_between_the_tokens()
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nx"));
        var time = new FakeTimeProvider();
        var measured = new MeasuredRequest(server.App.Services.GetRequiredService<ServerMetrics>(), time);
        measured.Name(new GenerationOperation("chat"), "mine");
        time.Advance(TimeSpan.FromSeconds(2));
        var (first, second) = (measured.NewAnswer(), measured.NewAnswer());
        time.Advance(TimeSpan.FromSeconds(1));
        first.Token(); // After 3 s.
        time.Advance(TimeSpan.FromSeconds(1));
        second.Token(); // The second answer's first token is not the request's.
        time.Advance(TimeSpan.FromSeconds(4));
        first.Token();
        first.End(7, 0, 11); // 5 s for ten tokens.
        second.End(0, 0, 1); // No time between tokens.
        time.Advance(TimeSpan.FromSeconds(1));
        measured.End(new GenerationOperation("chat"), null);

        var families = await ReadAsync(server, "gen_ai_server_request_duration_seconds");
        Assert.Equal((3, 1), Sum("gen_ai_server_time_to_first_token_seconds"));
        Assert.Equal((0.5, 1), Sum("gen_ai_server_time_per_output_token_seconds"));
        Assert.Equal((9, 1), Sum("gen_ai_server_request_duration_seconds"));
        Assert.Equal((3, 2), Sum("glmtune_first_token_time_seconds"));

        (double Sum, double Count) Sum(string name) =>
            (
                families[name].Samples.Single(sample => sample.Name == $"{name}_sum").Value,
                families[name].Samples.Single(sample => sample.Name == $"{name}_count").Value
            );
    }

    [Fact]
    public async Task The_cache_says_what_it_holds_and_what_was_found()
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nHello."));
        var special = ScriptedChat.Bytes.Special;
        int[] prompt = [special.User, .. Enumerable.Repeat(97, 64), special.Assistant];
        var body = new JsonObject
        {
            ["prompt"] = new JsonArray([.. prompt.Select(id => JsonValue.Create(id))]),
            ["max_tokens"] = 4,
        }.ToJsonString();
        var tokens = 0;
        for (var i = 0; i < 2; i++)
        {
            var (_, answer) = await server.Http.PostAsync("/v1/completions", body);
            tokens = answer["usage"]!["prompt_tokens"]!.GetValue<int>();
        }

        var families = await ReadAsync(server, "glmtune_requests_total");
        Assert.Equal(2 * tokens, families["glmtune_prefix_cache_queries_total"].Samples.Single().Value);
        Assert.Equal(
            tokens / 16 * 16,
            families["glmtune_prefix_cache_hits_total"]
                .Samples.Single(sample => sample.Labels["model"] == "scripted")
                .Value
        );
        Assert.Equal(0, families["glmtune_preemptions_total"].Samples.Single().Value);
        var blocks = families["glmtune_cache_blocks"]
            .Samples.ToDictionary(sample => sample.Labels["state"], sample => sample.Value);
        Assert.Equal((0, tokens / 16), (blocks["used"], blocks["kept"]));
        Assert.True(blocks["free"] > 0);
    }

    // A request is counted after its answer has been sent.
    private static async Task<Dictionary<string, MetricFamily>> ReadAsync(RunningServer server, string family)
    {
        while (true)
        {
            var families = MetricFamily.Read(await server.Http.GetStringAsync("/metrics", Stop));
            if (families.ContainsKey(family))
            {
                return families;
            }

            await Task.Delay(10, Stop);
        }
    }
}
