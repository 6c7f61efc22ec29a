using System.Net;
using System.Text.Json.Nodes;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests;

/// <summary>Completions, models, health, metrics, the document; disconnecting and stopping.</summary>
public sealed class ServiceTests(NanoServer nano)
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Plain_text_is_continued()
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "ab cd"));
        var (status, body) = await server.Http.PostAsync(
            "/v1/completions",
            """{"prompt":[257,258,263,10,120,264],"logprobs":1,"max_tokens":4}"""
        );
        Assert.Equal(HttpStatusCode.OK, status);
        var choice = body["choices"]![0]!;
        Assert.Equal(
            ("ab c", "length"),
            (choice["text"]!.GetValue<string>(), choice["finish_reason"]!.GetValue<string>())
        );
        Assert.Equal(
            ["a", "b", " ", "c"],
            choice["logprobs"]!["tokens"]!.AsArray().Select(token => token!.GetValue<string>())
        );
        Assert.Equal(
            [0, 1, 2, 3],
            choice["logprobs"]!["text_offset"]!.AsArray().Select(token => token!.GetValue<int>())
        );
        Assert.Equal(
            (6, 4),
            (body["usage"]!["prompt_tokens"]!.GetValue<int>(), body["usage"]!["completion_tokens"]!.GetValue<int>())
        );

        var events = await server.Http.EventsAsync(
            "/v1/completions",
            """{"prompt":[257,258,263,10,120,264],"stop":"cd","stream":true,"stream_options":{"include_usage":true}}"""
        );
        Assert.Equal("[DONE]", events[^1]);
        Assert.Equal(
            "ab ",
            string.Concat(
                events[..^2].Select(text => JsonNode.Parse(text)!["choices"]![0]!["text"]!.GetValue<string>())
            )
        );
        Assert.Equal("stop", JsonNode.Parse(events[^3])!["choices"]![0]!["finish_reason"]!.GetValue<string>());
        Assert.Equal(6, JsonNode.Parse(events[^2])!["usage"]!["prompt_tokens"]!.GetValue<int>());
    }

    [Theory]
    [InlineData("/v1/chat/completions"), InlineData("/v1/completions"), InlineData("/api/tools/call")]
    public async Task A_body_that_does_not_come_is_given_up_after_the_requests_time(string path)
    {
        var options = new ServerOptions { Limits = new ServerLimits { RequestTime = TimeSpan.FromMilliseconds(100) } };
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "x"), options);
        using var client = new System.Net.Sockets.TcpClient();
        await client.ConnectAsync(server.Address.Host, server.Address.Port, Stop);
        var stream = client.GetStream();
        var head =
            $"POST {path} HTTP/1.1\r\nHost: {server.Address.Authority}\r\nContent-Type: "
            + $"application/json\r\nContent-Length: 100\r\n\r\n{{\"prompt\":";
        await stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes(head), Stop);
        using var reader = new StreamReader(stream);
        Assert.StartsWith("HTTP/1.1 408 ", await reader.ReadLineAsync(Stop), StringComparison.Ordinal);
        var answer = "";
        while (!answer.Contains("\"code\"", StringComparison.Ordinal) && await reader.ReadLineAsync(Stop) is { } line)
        {
            answer += line;
        }

        Assert.Contains("\"error\":{\"message\":\"The body did not arrive within", answer, StringComparison.Ordinal);
        Assert.Contains("\"code\":\"timeout\"", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Several_texts_are_continued_in_one_request()
    {
        var (_, body) = await nano.Http.PostAsync(
            "/v1/completions",
            """{"prompt":["The capital of","Two and"],"n":2,"temperature":0,"echo":true,"max_tokens":3}"""
        );
        var texts = body["choices"]!.AsArray().Select(choice => choice!["text"]!.GetValue<string>()).ToList();
        Assert.Equal(4, texts.Count);
        Assert.Equal(texts[0], texts[1]);
        Assert.StartsWith("The capital of", texts[0]);
        Assert.StartsWith("Two and", texts[2]);
        Assert.InRange(body["usage"]!["completion_tokens"]!.GetValue<int>(), 4, 12);
    }

    [Fact]
    public async Task Models_and_health_are_told()
    {
        var list = JsonNode.Parse(await nano.Http.GetStringAsync("/v1/models", Stop))!;
        Assert.Equal(
            ("list", "glm-nano", "model"),
            (
                list["object"]!.GetValue<string>(),
                list["data"]![0]!["id"]!.GetValue<string>(),
                list["data"]![0]!["object"]!.GetValue<string>()
            )
        );
        var one = JsonNode.Parse(await nano.Http.GetStringAsync("/v1/models/glm-nano", Stop))!;
        Assert.Equal(2048, one["max_model_len"]!.GetValue<int>());
        Assert.Equal("""{"status":"ok"}""", await nano.Http.GetStringAsync("/health", Stop));
    }

    [Theory]
    [InlineData("/v1/models/org/name")]
    [InlineData("/v1/models/org%2Fname")]
    public async Task A_model_whose_name_has_a_slash_is_found_at_another_address_of_the_machine(string path)
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => "\nx"),
            new ServerOptions { Host = "127.0.0.5" },
            "org/name"
        );
        var one = JsonNode.Parse(await server.Http.GetStringAsync(path, Stop))!;
        Assert.Equal("org/name", one["id"]!.GetValue<string>());
    }

    [Fact]
    public async Task Metrics_count_tokens_and_requests()
    {
        await nano.Http.PostAsync(
            "/v1/chat/completions",
            """{"max_tokens":3,"messages":[{"role":"user","content":"x"}]}"""
        );
        using var response = await nano.Http.GetAsync("/metrics", Stop);
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", response.Content.Headers.ContentType?.ToString());
        var families = MetricFamily.Read(await response.Content.ReadAsStringAsync(Stop));
        foreach (
            var (name, type) in (ReadOnlySpan<(string, string)>)
                [
                    ("target_info", "gauge"),
                    ("glmtune_tokens_total", "counter"),
                    ("glmtune_requests_total", "counter"),
                    ("glmtune_queue_time_seconds", "histogram"),
                    ("glmtune_first_token_time_seconds", "histogram"),
                    ("glmtune_request_time_seconds", "histogram"),
                    ("glmtune_answers_running", "gauge"),
                    ("glmtune_requests_waiting", "gauge"),
                    ("glmtune_requests_preparing", "gauge"),
                    ("dotnet_gc_collections_total", "counter"),
                    ("dotnet_gc_heap_total_allocated_bytes_total", "counter"),
                    ("dotnet_gc_pause_time_seconds_total", "counter"),
                    ("dotnet_process_memory_working_set_bytes", "gauge"),
                ]
        )
        {
            Assert.Equal(type, families[name].Type);
            Assert.NotEmpty(families[name].Help);
        }

        Assert.Contains(families["glmtune_tokens_total"].Samples, each => each.Labels["kind"] == "completion");
        Assert.Contains(families["glmtune_requests_total"].Samples, each => each.Labels["status"] == "200");
    }

    [Fact]
    public async Task The_document_describes_every_endpoint()
    {
        var document = JsonNode.Parse(await nano.Http.GetStringAsync("/openapi/v1.json", Stop))!;
        Assert.Equal(
            ["/health", "/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/{id}"],
            document["paths"]!
                .AsObject()
                .Select(path => path.Key)
                .Where(path => path is "/health" || path.StartsWith("/v1/", StringComparison.Ordinal))
                .Order()
        );
        var fields = document["components"]!["schemas"]!["ChatCompletionRequest"]!["properties"]!;
        Assert.Equal("""["null","number"]""", fields["temperature"]!["type"]!.ToJsonString());
        Assert.StartsWith("Maximum tokens", fields["max_completion_tokens"]!["description"]!.GetValue<string>());
        Assert.StartsWith("An object of token ids", fields["logit_bias"]!["description"]!.GetValue<string>());
        Assert.StartsWith("Not supported: use", fields["functions"]!["description"]!.GetValue<string>());
        Assert.StartsWith("Accepted without effect", fields["store"]!["description"]!.GetValue<string>());
        Assert.Equal(2, document["components"]!["schemas"]!["StopTexts"]!["anyOf"]!.AsArray().Count);
    }

    [Fact]
    public async Task A_client_that_goes_away_gives_its_place_back()
    {
        await using var server = await RunningServer.StartAsync(Endless());
        foreach (var stream in (string[])["false", "true"])
        {
            using var gone = CancellationTokenSource.CreateLinkedTokenSource(Stop);
            var request = new HttpRequestMessage(HttpMethod.Post, "/v1/chat/completions")
            {
                Content = Wire.Json(
                    $$"""{"stream":{{stream}},"max_tokens":4000,"messages":[{"role":"user","content":"x"}]}"""
                ),
            };
            var asking = server.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, gone.Token);
            await Until(() => server.Queue.Running == 1);
            if (stream == "true")
            {
                using var response = await asking;
                using var body = await response.Content.ReadAsStreamAsync(gone.Token);
                await body.ReadExactlyAsync(new byte[500], gone.Token);
                body.Close();
            }
            else
            {
                await gone.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
            }

            await Until(() => server.Queue.Running == 0);
        }
    }

    [Fact]
    public async Task A_request_that_takes_too_long_is_ended()
    {
        await using var server = await RunningServer.StartAsync(
            Endless(),
            new ServerOptions { Limits = new ServerLimits { RequestTime = TimeSpan.FromSeconds(2) } }
        );
        var (status, body) = await server.Http.PostAsync(
            "/v1/chat/completions",
            """{"max_tokens":4000,"messages":[{"role":"user","content":"x"}]}"""
        );
        Assert.Equal((HttpStatusCode.GatewayTimeout, "timeout"), (status, body["error"]!["code"]!.GetValue<string>()));
        var events = await server.Http.EventsAsync(
            "/v1/chat/completions",
            """{"stream":true,"max_tokens":4000,"messages":[{"role":"user","content":"x"}]}"""
        );
        Assert.Equal("timeout", JsonNode.Parse(events[^1])!["error"]!["code"]!.GetValue<string>());
        await Until(() => server.Queue.Running == 0);
    }

    [Fact]
    public async Task Too_many_waiting_requests_are_turned_away()
    {
        await using var server = await RunningServer.StartAsync(
            Endless(),
            new ServerOptions { Limits = new ServerLimits { Waiting = 0 } }
        );
        using var gone = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var running = Enumerable
            .Range(0, 2)
            .Select(_ =>
                server.Http.PostAsync(
                    "/v1/chat/completions",
                    Wire.Json("""{"n":8,"max_tokens":4000,"messages":[{"role":"user","content":"x"}]}"""),
                    gone.Token
                )
            )
            .ToList();
        await Until(() => server.Queue.Running == 16);
        using var refused = await server.Http.PostAsync(
            "/v1/chat/completions",
            Wire.Json("""{"messages":[{"role":"user","content":"x"}]}"""),
            Stop
        );
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        Assert.NotNull(refused.Headers.RetryAfter?.Delta);
        Assert.Contains("rate_limit_error", await refused.Content.ReadAsStringAsync(Stop));
        await gone.CancelAsync();
        await Until(() => server.Queue.Running == 0);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Task.WhenAll(running));
    }

    [Theory]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"LONG"}]}""", 429)]
    [InlineData(
        "/v1/chat/completions",
        """{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"array","uniqueItems":true}}}}""",
        429
    )]
    [InlineData("/v1/completions", """{"prompt":"LONG"}""", 429)]
    [InlineData("/v1/completions", """{"prompt":[1,-1]}""", 400)]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"robot","content":"x"}]}""", 400)]
    public async Task Nothing_is_tokenized_or_compiled_for_a_request_that_is_turned_away(
        string path,
        string body,
        int expected
    )
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => "\nx"),
            new ServerOptions { Limits = new ServerLimits { Waiting = 0 } }
        );
        body = body.Replace("LONG", new string('x', 5000), StringComparison.Ordinal);
        using (await server.Queue.EnterAsync("somebody", 16, Stop))
        {
            Assert.Equal(expected, (int)(await server.Http.PostAsync(path, body)).Status);
        }

        Assert.Equal(HttpStatusCode.BadRequest, (await server.Http.PostAsync(path, body)).Status);
        Assert.Equal((0, 0), (server.Queue.Running, server.Queue.Waiting));
    }

    [Fact]
    public async Task A_stopping_server_finishes_what_runs_and_turns_away_what_comes()
    {
        var slow = new SemaphoreSlim(0);
        var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(prompt =>
            {
                slow.Wait(Stop);
                return "\nfinished";
            })
        );
        var running = server.Http.PostAsync("/v1/chat/completions", """{"messages":[{"role":"user","content":"x"}]}""");
        await Until(() => server.Queue.Running == 1);
        var stopping = server.App.StopAsync(Stop);
        Assert.Equal(503, (await Assert.ThrowsAsync<ApiException>(() => server.Queue.EnterAsync("a", 1, Stop))).Status);
        slow.Release(1000);
        var (status, body) = await running;
        Assert.Equal(
            (HttpStatusCode.OK, "finished"),
            (status, body["choices"]![0]!["message"]!["content"]!.GetValue<string>())
        );
        await stopping;
        await server.DisposeAsync();
    }

    [Fact]
    public async Task Answers_that_outlast_the_time_to_stop_end_with_an_error_and_stopping_succeeds()
    {
        await using var server = await RunningServer.StartAsync(
            Endless(),
            new ServerOptions { StopTime = TimeSpan.FromMilliseconds(200) }
        );
        const string Body = """{"stream":true,"max_tokens":4000,"messages":[{"role":"user","content":"x"}]}""";
        var streamed = server.Http.EventsAsync("/v1/chat/completions", Body);
        var whole = server.Http.PostAsync(
            "/v1/chat/completions",
            Body.Replace("\"stream\":true,", "", StringComparison.Ordinal)
        );
        await Until(() => server.Queue.Running == 2);
        await server.App.StopAsync(Stop);
        Assert.Contains("The server is shutting down", (await streamed)[^1], StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await whole).Status);
        Assert.Equal(0, server.Queue.Running);
    }

    [Fact]
    public async Task A_strict_tool_that_may_be_called_leaves_plain_answers_free()
    {
        string Ask(string more) =>
            $$$"""
                {"max_tokens":60,"temperature":1,"messages":[{"role":"user","content":"What is the capital of France?"}],
                 "tools":[{"type":"function","function":{"name":"find","strict":true,"parameters":{"type":"object","properties":{"q":{"type":"string","maxLength":5}},"required":["q"],"additionalProperties":false} } }]{{{more}}} }
                """;
        for (var seed = 0; seed < 4; seed++)
        {
            var (status, body) = await nano.Http.PostAsync("/v1/chat/completions", Ask($",\"seed\":{seed}"));
            Assert.Equal(HttpStatusCode.OK, status);
            var message = body["choices"]![0]!["message"]!;
            Assert.True(
                message["content"] is not null
                    || JsonNode.Parse(message["tool_calls"]![0]!["function"]!["arguments"]!.GetValue<string>())!["q"]
                        is not null,
                body.ToJsonString()
            );
        }

        var (_, called) = await nano.Http.PostAsync(
            "/v1/chat/completions",
            Ask(",\"tool_choice\":\"required\",\"response_format\":{\"type\":\"json_object\"}")
        );
        var arguments = called["choices"]![0]!["message"]!["tool_calls"]![0]!["function"]!;
        Assert.Equal("find", arguments["name"]!.GetValue<string>());
        Assert.InRange(
            JsonNode.Parse(arguments["arguments"]!.GetValue<string>())!["q"]!.GetValue<string>().Length,
            0,
            10
        );
    }

    // 3,900 tokens that take 20 s at least, once it has begun.
    private static Inference.ChatModel Endless()
    {
        var tokens = 0;
        return ScriptedChat.Answering(_ =>
        {
            Thread.Sleep(Interlocked.Increment(ref tokens) > 50 ? 5 : 0);
            return $"\n{new string('x', 3900)}";
        });
    }

    private static async Task Until(Func<bool> holds)
    {
        for (var i = 0; !holds(); i++)
        {
            Assert.True(i < 3000, "It did not come about within 30 s.");
            await Task.Delay(10, Stop);
        }
    }
}
