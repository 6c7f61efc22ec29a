using System.Net;
using System.Text.Json.Nodes;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests;

/// <summary>Requests and answers byte for byte, but for ids and times.</summary>
public sealed class ChatWireTests
{
    private const string Weather =
        """{"type":"function","function":{"name":"get_weather","description":"Weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}""";

    [Fact]
    public async Task A_whole_answer_has_the_shape_of_the_protocol()
    {
        string? prompt = null;
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(text =>
            {
                prompt = text;
                return "\nHello 你好";
            })
        );
        var (status, body) = await server.Http.PostAsync(
            "/v1/chat/completions",
            """
            {"model":"scripted","unknown_field":{"is":"passed over"},"messages":[
              {"role":"system","content":"Be brief."},
              {"role":"user","content":[{"type":"text","text":"a\n"},{"type":"text","text":"b"}]},
              {"role":"assistant","content":"one\ntwo"},
              {"role":"user","content":"again"}]}
            """
        );
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal(
            "[gMASK]<sop><|system|>\nBe brief.<|user|>\na\nb<|assistant|>\none\ntwo<|user|>\nagain<|assistant|>",
            prompt
        );
        Wire.AssertEqual(
            """
            {"id":"chatcmpl-0","object":"chat.completion","created":0,"model":"scripted","system_fingerprint":"fp_0",
             "choices":[{"index":0,"message":{"role":"assistant","content":"Hello 你好","refusal":null},"finish_reason":"stop","logprobs":null}],
             "usage":{"prompt_tokens":35,"completion_tokens":14,"total_tokens":49,"prompt_tokens_details":{"cached_tokens":0}}}
            """,
            body.ToJsonString()
        );
    }

    [Fact]
    public async Task A_streamed_answer_begins_with_the_role_and_ends_with_the_reason_the_counts_and_done()
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nOk é"));
        var events = await server.Http.EventsAsync(
            "/v1/chat/completions",
            """
            {"model":"scripted","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}
            """
        );
        Assert.Equal("[DONE]", events[^1]);
        string Chunk(string choices, string more = "") =>
            $$$"""{"id":"chatcmpl-0","object":"chat.completion.chunk","created":0,"model":"scripted","system_fingerprint":"fp_0","choices":[{{{choices}}}]{{{more}}} }""";
        string Delta(string delta, string finish = "null") =>
            Chunk($$"""{"index":0,"delta":{{delta}},"finish_reason":{{finish}},"logprobs":null}""");
        string[] expected =
        [
            Delta("""{"role":"assistant","content":""}"""),
            Delta("""{"content":"O"}"""),
            Delta("""{"content":"k"}"""),
            Delta("""{"content":" é"}"""),
            Delta("{}", "\"stop\""),
            Chunk(
                "",
                ""","usage":{"prompt_tokens":6,"completion_tokens":7,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":0}}"""
            ),
        ];
        Assert.Equal(expected.Select(Wire.Normal), events[..^1].Select(Wire.Normal));
        Assert.Single(events[..^1].Select(text => JsonNode.Parse(text)!["id"]!.GetValue<string>()).Distinct());
    }

    [Theory]
    [InlineData("get_weather\n{\"city\": \"Paris\"}", "{\"city\": \"Paris\"}")]
    [InlineData("\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}", "{\"city\": \"Paris\"}")]
    public async Task A_call_in_either_style_becomes_tool_calls(string written, string arguments)
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => written));
        var request =
            $$$"""{"model":"scripted","parallel_tool_calls":false,"tools":[{{{Weather}}}],"messages":[{"role":"user","content":"x"}]{0}}""";
        var (_, body) = await server.Http.PostAsync(
            "/v1/chat/completions",
            request.Replace("{0}", "", StringComparison.Ordinal)
        );
        Wire.AssertEqual(
            $$$"""
            {"index":0,"message":{"role":"assistant","content":null,"refusal":null,
              "tool_calls":[{"id":"call_0","type":"function","function":{"name":"get_weather","arguments":{{{JsonValue.Create(
                arguments
            ).ToJsonString()}}} }}]},"finish_reason":"tool_calls","logprobs":null}
            """,
            body["choices"]![0]!.ToJsonString()
        );

        var events = await server.Http.EventsAsync(
            "/v1/chat/completions",
            request.Replace("{0}", ",\"stream\":true", StringComparison.Ordinal)
        );
        var choices = events[..^1].Select(text => JsonNode.Parse(text)!["choices"]![0]!).ToList();
        var calls = choices
            .Select(choice => choice["delta"]!["tool_calls"]?[0])
            .Where(call => call is not null)
            .ToList();
        Assert.All(calls, call => Assert.Equal(0, call!["index"]!.GetValue<int>()));
        Assert.StartsWith("call_", calls[0]!["id"]!.GetValue<string>());
        Assert.Equal("function", calls[0]!["type"]!.GetValue<string>());
        Assert.Equal("get_weather", calls[0]!["function"]!["name"]!.GetValue<string>());
        Assert.All(
            calls[1..],
            call => Assert.Equal(["index", "function"], call!.AsObject().Select(member => member.Key))
        );
        Assert.Equal(
            arguments,
            string.Concat(calls.Select(call => call!["function"]!["arguments"]!.GetValue<string>()))
        );
        Assert.Equal("tool_calls", choices[^1]["finish_reason"]!.GetValue<string>());
        Assert.Equal(written[0] == '\n', calls.Count == 1); // GLM-4's own style comes piece by piece.
    }

    [Fact]
    public async Task Tools_stand_before_the_callers_system_message_and_results_are_observations()
    {
        string? prompt = null;
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(text =>
            {
                prompt = text;
                return "\nSunny.";
            })
        );
        await server.Http.PostAsync(
            "/v1/chat/completions",
            $$$"""
            {"model":"scripted","tools":[{{{Weather}}}],"messages":[
              {"role":"system","content":"Be brief."},{"role":"user","content":"Weather?"},
              {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Rome\"}"}}]},
              {"role":"tool","tool_call_id":"call_1","content":"sun"}]}
            """
        );
        Assert.Contains("## get_weather", prompt);
        Assert.EndsWith(
            "<|system|>\nBe brief.<|user|>\nWeather?<|assistant|>get_weather\n{\"city\": "
                + "\"Rome\"}<|observation|>\nsun<|assistant|>",
            prompt
        );

        await server.Http.PostAsync(
            "/v1/chat/completions",
            """
            {"model":"scripted","messages":[{"role":"user","content":"Weather?"},
              {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},
              {"role":"tool","tool_call_id":"call_1","content":""}]}
            """
        );
        Assert.EndsWith("<|assistant|>f\n{}<|observation|>\n(no output)<|assistant|>", prompt);

        await server.Http.PostAsync(
            "/v1/chat/completions",
            $$"""{"model":"scripted","tool_choice":"none","tools":[{{Weather}}],"messages":[{"role":"user","content":"Weather?"}]}"""
        );
        Assert.Equal("[gMASK]<sop><|user|>\nWeather?<|assistant|>", prompt);
    }

    [Theory]
    [InlineData("\"none\"")]
    [InlineData(
        """{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"get_weather"}}]}}"""
    )]
    public async Task Calls_of_the_models_own_tools_are_read_alike_whatever_may_be_called_now(string choice)
    {
        string? prompt = null;
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(text =>
            {
                prompt = text;
                return "\n2.";
            })
        );
        await server.Http.PostAsync(
            "/v1/chat/completions",
            $$$"""
            {"tool_choice":{{{choice}}},"tools":[{{{Weather}}},{"type":"python"}],"messages":[{"role":"user","content":"1 + 1?"},
              {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"python","arguments":"{\"code\": \"print(1 + 1)\"}"}}]},
              {"role":"tool","tool_call_id":"call_1","content":"2"}]}
            """
        );
        Assert.EndsWith(
            "<|assistant|>python\nprint(1 + 1)<|observation|>\n2<|assistant|>",
            prompt,
            StringComparison.Ordinal
        );
    }

    // The model reads its calls in its own words, whole or streamed, when the conversation is sent again as the
    // protocol has it.
    [Theory]
    [InlineData("get_weather\n{\"city\":  \"Paris\"}")]
    [InlineData("get_weather\n```json\n{\"city\": \"Paris\"}\n```")]
    [InlineData("\n{\"name\": \"get_weather\", \"arguments\": {\"city\":\"Paris\"}}")]
    [InlineData("\n{\"name\":\"get_weather\",\"arguments\":{\"city\": \"é\\u00e9\"}}")]
    [InlineData("\n{\n    \"name\": \"get_weather\",\n    \"arguments\": {\n        \"city\": \"x\"\n    }\n}")]
    [InlineData("\n```json\n{\"name\": \"get_weather\", \"arguments\": {}}\n```")]
    [InlineData("python\nprint(\"a\\n\")\nprint(2)")]
    [InlineData("python\n{\"code\": \"print(1)\"}")]
    public async Task A_call_that_is_sent_back_is_what_the_model_wrote(string written)
    {
        string? prompt = null;
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(text =>
            {
                prompt = text;
                return text.EndsWith("<|observation|>\n5<|assistant|>", StringComparison.Ordinal) ? "\nDone." : written;
            })
        );
        const string Python = """{"type":"function","function":{"name":"python","parameters":{"type":"object"}}}""";
        string Request(string more, bool stream) =>
            $$"""{"model":"scripted","stream":{{(stream ? "true" : "false")}},"tools":[{{Weather}},{{Python}}],"messages":[{"role":"user","content":"x"}{{more}}]}""";
        var (_, body) = await server.Http.PostAsync("/v1/chat/completions", Request("", false));
        var whole = body["choices"]![0]!["message"]!["tool_calls"]![0]!;
        var events = await server.Http.EventsAsync("/v1/chat/completions", Request("", true));
        var pieces = events[..^1]
            .Select(text => JsonNode.Parse(text)!["choices"]![0]!["delta"]!["tool_calls"]?[0])
            .OfType<JsonNode>()
            .ToList();
        var streamed = pieces[0].DeepClone();
        streamed["function"]!["arguments"] = string.Concat(
            pieces.Select(piece => piece["function"]!["arguments"]!.GetValue<string>())
        );
        foreach (var call in (JsonNode[])[whole, streamed])
        {
            Assert.InRange(call["id"]!.GetValue<string>().Length, 20, 40);
            await server.Http.PostAsync(
                "/v1/chat/completions",
                Request(
                    $$""",{"role":"assistant","content":null,"tool_calls":[{{call.ToJsonString()}}]},{"role":"tool","tool_call_id":"{{call["id"]}}","content":"5"}""",
                    false
                )
            );
            Assert.EndsWith(
                $"<|user|>\nx<|assistant|>{written}<|observation|>\n5<|assistant|>",
                prompt,
                StringComparison.Ordinal
            );
        }
    }

    [Fact]
    public async Task A_call_that_the_length_cuts_off_is_still_a_call_and_says_so()
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => "get_weather\n{\"city\": \"Paris\"}")
        );
        var (_, body) = await server.Http.PostAsync(
            "/v1/chat/completions",
            $$"""{"model":"scripted","max_completion_tokens":20,"tools":[{{Weather}}],"messages":[{"role":"user","content":"x"}]}"""
        );
        Assert.Equal("length", body["choices"]![0]!["finish_reason"]!.GetValue<string>());
        Assert.Equal(
            "{\"city\":",
            body["choices"]![0]!["message"]!["tool_calls"]![0]!["function"]!["arguments"]!.GetValue<string>()
        );
    }

    [Fact]
    public async Task Stop_texts_and_lengths_end_answers_and_are_told_apart()
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\none two three"));
        async Task<(string? Text, string? Finish, int Tokens)> Ask(string more)
        {
            var (_, body) = await server.Http.PostAsync(
                "/v1/chat/completions",
                $$"""{"messages":[{"role":"user","content":"x"}],{{more}}}"""
            );
            var choice = body["choices"]![0]!;
            return (
                choice["message"]!["content"]!.GetValue<string>(),
                choice["finish_reason"]!.GetValue<string>(),
                body["usage"]!["completion_tokens"]!.GetValue<int>()
            );
        }

        Assert.Equal(("one", "stop", 6), await Ask("\"stop\":\" t\""));
        Assert.Equal(("one two", "stop", 14), await Ask("\"stop\":[\" three\",\"zzz\"]"));
        Assert.Equal(("one t", "length", 6), await Ask("\"max_tokens\":6"));
        Assert.Equal(("one two three", "stop", 15), await Ask("\"max_tokens\":15"));
    }

    [Fact]
    public async Task A_stop_text_in_what_only_looked_like_a_call_is_the_reason_too()
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => "\n{\"name\": \"nobody\"} STOP and on")
        );
        foreach (var stream in (bool[])[false, true])
        {
            var request =
                $$"""{"max_tokens":30,"stop":" STOP","tools":[{{Weather}}],"messages":[{"role":"user","content":"x"}],"stream":{{(stream ? "true" : "false")}}}""";
            var (text, finish) = stream
                ? Joined(await server.Http.EventsAsync("/v1/chat/completions", request))
                : Whole((await server.Http.PostAsync("/v1/chat/completions", request)).Body);
            Assert.Equal(("{\"name\": \"nobody\"}", "stop"), (text, finish));
        }

        static (string Text, string Finish) Whole(JsonNode body) =>
            (
                body["choices"]![0]!["message"]!["content"]!.GetValue<string>(),
                body["choices"]![0]!["finish_reason"]!.GetValue<string>()
            );

        static (string Text, string Finish) Joined(IReadOnlyList<string> events)
        {
            var choices = events.Take(events.Count - 1).Select(text => JsonNode.Parse(text)!["choices"]![0]!).ToList();
            return (
                string.Concat(choices.Select(choice => choice["delta"]!["content"]?.GetValue<string>())),
                choices[^1]["finish_reason"]!.GetValue<string>()
            );
        }
    }

    [Fact]
    public async Task Several_answers_are_told_by_their_index_and_counted_together()
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nab"));
        var (_, body) = await server.Http.PostAsync(
            "/v1/chat/completions",
            """{"n":3,"messages":[{"role":"user","content":"x"}]}"""
        );
        Assert.Equal([0, 1, 2], body["choices"]!.AsArray().Select(choice => choice!["index"]!.GetValue<int>()));
        Assert.All(
            body["choices"]!.AsArray(),
            choice => Assert.Equal("ab", choice!["message"]!["content"]!.GetValue<string>())
        );
        Assert.Equal(
            (6, 12),
            (body["usage"]!["prompt_tokens"]!.GetValue<int>(), body["usage"]!["completion_tokens"]!.GetValue<int>())
        );

        var events = await server.Http.EventsAsync(
            "/v1/chat/completions",
            """{"n":2,"stream":true,"messages":[{"role":"user","content":"x"}]}"""
        );
        foreach (var index in (int[])[0, 1])
        {
            var choices = events[..^1]
                .Select(text => JsonNode.Parse(text)!["choices"]![0]!)
                .Where(choice => choice["index"]!.GetValue<int>() == index)
                .ToList();
            Assert.Equal(
                "ab",
                string.Concat(choices.Select(choice => choice["delta"]!["content"]?.GetValue<string>()))
            );
            Assert.Equal("stop", choices[^1]["finish_reason"]!.GetValue<string>());
        }
    }

    [Theory]
    [InlineData("/v1/chat/completions", "\"messages\":[{\"role\":\"user\",\"content\":\"TEXT\"}]", 5 + 50)]
    [InlineData("/v1/completions", "\"prompt\":\"TEXT\"", 2 + 50)]
    public async Task Several_answers_to_one_prompt_read_it_once(string path, string input, int promptTokens)
    {
        var model = FakeLm.Sure(300, _ => 'a');
        await using var server = await RunningServer.StartAsync(
            new Inference.ChatModel(model, new Data.Templates.Glm4Template(ScriptedChat.Bytes))
        );
        foreach (var stream in (string[])["", ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"])
        {
            model.PassTokens.Clear();
            var text = new string(stream.Length == 0 ? 'x' : 'y', 50);
            var asked = input.Replace("TEXT", text, StringComparison.Ordinal);
            var body = $"{{\"n\":4,\"max_tokens\":3,{asked}{stream}}}";
            var told =
                stream.Length == 0
                    ? (await server.Http.PostAsync(path, body)).Body
                    : JsonNode.Parse((await server.Http.EventsAsync(path, body))[^2])!;
            var usage = told["usage"]!;
            Assert.Equal(
                (promptTokens, 12),
                (usage["prompt_tokens"]!.GetValue<int>(), usage["completion_tokens"]!.GetValue<int>())
            );

            // What the first request's answers left begins alike for a few tokens only, which are not worth a copy.
            Assert.Equal(0, usage["prompt_tokens_details"]!["cached_tokens"]!.GetValue<int>());
            Assert.Equal(promptTokens + 4 + 4, model.PassTokens.Sum());
        }
    }

    [Fact]
    public async Task Log_probabilities_are_told_for_the_tokens_of_the_text()
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nhi STOP"));
        var (_, body) = await server.Http.PostAsync(
            "/v1/chat/completions",
            """{"logprobs":true,"top_logprobs":2,"stop":" STOP","messages":[{"role":"user","content":"x"}]}"""
        );
        var tokens = body["choices"]![0]!["logprobs"]!["content"]!.AsArray();
        Assert.Equal(["h", "i"], tokens.Select(token => token!["token"]!.GetValue<string>()));
        Assert.Equal([104], tokens[0]!["bytes"]!.AsArray().Select(value => value!.GetValue<int>()));
        Assert.All(tokens, token => Assert.Equal(2, token!["top_logprobs"]!.AsArray().Count));
        Assert.All(tokens, token => Assert.InRange(token!["logprob"]!.GetValue<double>(), -0.02, 0));
        Assert.Equal("h", tokens[0]!["top_logprobs"]![0]!["token"]!.GetValue<string>());
    }
}
