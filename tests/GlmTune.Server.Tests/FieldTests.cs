using System.Net;
using System.Text.Json.Nodes;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests;

/// <summary>Fields of OpenAI's protocol beside the usual ones: what they do, or that they are taken.</summary>
public sealed class FieldTests
{
    [Theory]
    [InlineData("/v1/chat/completions", "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]")]
    [InlineData("/v1/completions", "\"prompt\":[257,258,263,10,120,264]")]
    public async Task Biases_on_logits_favour_and_forbid_tokens_greedily_and_drawn(string path, string input)
    {
        // Of a script's token the model is sure by 10; every other token is at 0.
        await using var server = await RunningServer.StartAsync(
            new Inference.ChatModel(
                FakeLm.Sure(300, _ => 'a'),
                new Data.Templates.Glm4Template(ScriptedChat.Bytes),
                new Inference.GenerationOptions { MaxNewTokens = 4 }
            )
        );
        foreach (
            var (bias, expected) in ((string, string)[])
                [
                    ("{}", "aaaa"),
                    ("{\"98\":9.5}", "aaaa"),
                    ("{\"98\":10.5}", "bbbb"),
                    ("{\"97\":-100,\"98\":1}", "bbbb"),
                    ("{\"97\":-100,\"98\":50,\"99\":51}", "cccc"),
                ]
        )
        {
            Assert.Equal(expected, await Ask($"{{{input},\"max_tokens\":4,\"temperature\":0,\"logit_bias\":{bias}}}"));
        }

        // What has e times the probability is drawn more often; what is forbidden, never.
        var drawn = string.Concat(
            await Task.WhenAll(
                Enumerable
                    .Range(0, 16)
                    .Select(seed =>
                        Ask(
                            $"{{{input},\"max_tokens\":4,\"temperature\":1,\"top_k\":0,\"seed\":{seed},"
                                + $"\"logit_bias\":{{\"97\":-100,\"98\":40,\"99\":41}}}}"
                        )
                    )
            )
        );
        Assert.Equal(64, drawn.Length);
        Assert.InRange(drawn.Count(c => c == 'b'), 1, 31);
        Assert.Equal(64, drawn.Count(c => c is 'b' or 'c'));

        async Task<string> Ask(string body)
        {
            var (status, answer) = await server.Http.PostAsync(path, body);
            Assert.True(status == HttpStatusCode.OK, answer.ToJsonString());
            var choice = answer["choices"]![0]!;
            return (choice["text"] ?? choice["message"]!["content"])!.GetValue<string>();
        }
    }

    [Fact]
    public async Task Fields_that_change_no_answer_are_taken()
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(prompt => prompt.Contains("Sorry", StringComparison.Ordinal) ? "\nnone" : "\nyes")
        );
        foreach (
            var field in (string[])
                [
                    "\"user\":\"u\"",
                    "\"store\":true",
                    "\"metadata\":{\"a\":\"b\"}",
                    "\"service_tier\":\"auto\"",
                    "\"safety_identifier\":\"s\"",
                    "\"prompt_cache_key\":\"k\"",
                    "\"prompt_cache_retention\":\"24h\"",
                    "\"prediction\":{\"type\":\"content\",\"content\":\"yes\"}",
                    "\"reasoning_effort\":\"low\"",
                    "\"verbosity\":\"low\"",
                    "\"modalities\":[\"text\"]",
                    "\"modalities\":null",
                    "\"audio\":null",
                    "\"functions\":null",
                    "\"function_call\":null",
                    "\"web_search_options\":null",
                    "\"logit_bias\":null",
                    "\"parallel_tool_calls\":true",
                    "\"anything\":{\"else\":1}",
                ]
        )
        {
            var (status, body) = await server.Http.PostAsync(
                "/v1/chat/completions",
                $"{{\"messages\":[{{\"role\":\"user\",\"name\":\"Ann\",\"content\":\"x\"}}],{field}}}"
            );
            Assert.True(status == HttpStatusCode.OK, $"{field}: {body.ToJsonString()}");
            Assert.Equal("yes", body["choices"]![0]!["message"]!["content"]!.GetValue<string>());
        }

        var (_, refused) = await server.Http.PostAsync(
            "/v1/chat/completions",
            """
            {"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"refusal":"Sorry.","function_call":null,"audio":null},{"role":"user","content":"y"}]}
            """
        );
        Assert.Equal("none", refused["choices"]![0]!["message"]!["content"]!.GetValue<string>());
        var events = await server.Http.EventsAsync(
            "/v1/chat/completions",
            """{"stream":true,"stream_options":{"include_obfuscation":true},"messages":[{"role":"user","content":"x"}]}"""
        );
        Assert.Equal("[DONE]", events[^1]);
    }

    [Fact]
    public async Task The_best_of_several_completions_are_told_and_all_are_counted()
    {
        // After the prompt an a or a b are as likely; after the a the next token is certain, after the b it is not.
        var model = new FakeLm(
            300,
            history =>
            {
                var logits = new float[300];
                logits
                    .AsSpan(
                        history[^1] switch
                        {
                            'a' => 'c',
                            'b' => 'd',
                            'c' => 'c',
                            'd' => 'd',
                            _ => 'a',
                        },
                        1
                    )
                    .Fill(history[^1] is 'b' or 'd' ? 9 : 20);
                logits['b'] = history[^1] is 'a' or 'b' or 'c' or 'd' ? 0 : 20;
                return logits;
            }
        );
        await using var server = await RunningServer.StartAsync(
            new Inference.ChatModel(model, new Data.Templates.Glm4Template(ScriptedChat.Bytes))
        );
        const string Request = """{"prompt":"x","max_tokens":3,"temperature":1,"top_k":0,"seed":1,N}""";
        var (_, all) = await server.Http.PostAsync(
            "/v1/completions",
            Request.Replace("N", "\"n\":8", StringComparison.Ordinal)
        );
        var texts = all["choices"]!.AsArray().Select(choice => choice!["text"]!.GetValue<string>()).ToList();
        Assert.Equal(["acc", "bdd"], texts.Distinct().Order());
        var likeliest = texts.Order().Take(2);

        var (_, best) = await server.Http.PostAsync(
            "/v1/completions",
            Request.Replace("N", "\"n\":2,\"best_of\":8", StringComparison.Ordinal)
        );
        Assert.Equal(likeliest, best["choices"]!.AsArray().Select(choice => choice!["text"]!.GetValue<string>()));
        Assert.Equal([0, 1], best["choices"]!.AsArray().Select(choice => choice!["index"]!.GetValue<int>()));
        Assert.All(best["choices"]!.AsArray(), choice => Assert.Null(choice!["logprobs"]));
        Assert.Equal(
            (3, 24),
            (best["usage"]!["prompt_tokens"]!.GetValue<int>(), best["usage"]!["completion_tokens"]!.GetValue<int>())
        );
    }

    [Fact]
    public async Task Only_the_allowed_tools_are_shown()
    {
        string? shown = null;
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(prompt =>
            {
                shown = prompt;
                return "\nyes";
            })
        );
        const string Request = """
            {"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"one"}},{"type":"function","function":{"name":"two"}},{"type":"function","function":{"name":"three"}}],
             "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"three"}},{"type":"function","function":{"name":"one"}}]}}}
            """;
        var (status, body) = await server.Http.PostAsync("/v1/chat/completions", Request);
        Assert.True(status == HttpStatusCode.OK, body.ToJsonString());
        Assert.Equal(
            (true, false, true),
            (
                shown!.Contains("## one", StringComparison.Ordinal),
                shown.Contains("## two", StringComparison.Ordinal),
                shown.Contains("## three", StringComparison.Ordinal)
            )
        );
    }
}
