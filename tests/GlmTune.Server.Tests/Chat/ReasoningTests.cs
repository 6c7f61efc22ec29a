using System.Net;
using System.Text.Json.Nodes;
using GlmTune.Data.Templates;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests.Chat;

/// <summary>Thoughts over HTTP.</summary>
public sealed class ReasoningTests
{
    [Fact]
    public async Task A_whole_answer_has_its_thoughts_beside_the_content_and_counts_them()
    {
        await using var server = await StartAsync();
        var (status, body) = await server.Http.PostAsync(
            "/v1/chat/completions",
            """{"model":"scripted","logprobs":true,"messages":[{"role":"user","content":"x"}]}"""
        );
        Assert.Equal(HttpStatusCode.OK, status);
        var choice = body["choices"]![0]!;
        Assert.Equal(
            ("Hm.", "Ok"),
            (Text(choice["message"]!["reasoning_content"]), Text(choice["message"]!["content"]))
        );
        Assert.Equal("{\"reasoning_tokens\":13}", body["usage"]!["completion_tokens_details"]!.ToJsonString());
        Assert.Equal(
            "Ok",
            string.Concat(choice["logprobs"]!["content"]!.AsArray().Select(token => Text(token!["token"])))
        );
    }

    [Fact]
    public async Task A_stream_has_deltas_of_thoughts_before_those_of_the_content()
    {
        await using var server = await StartAsync();
        var events = await server.Http.EventsAsync(
            "/v1/chat/completions",
            """
            {"model":"scripted","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}
            """
        );
        var deltas = events[..^2].Select(text => JsonNode.Parse(text)!["choices"]![0]!["delta"]!.AsObject()).ToList();
        Assert.Equal(
            [
                """{"role":"assistant","content":""}""",
                """{"reasoning_content":"H"}""",
                """{"reasoning_content":"m"}""",
                """{"reasoning_content":"."}""",
                """{"content":"O"}""",
                """{"content":"k"}""",
                "{}",
            ],
            deltas.Select(delta => delta.ToJsonString())
        );
        Assert.Equal(
            13,
            JsonNode.Parse(events[^2])!["usage"]!["completion_tokens_details"]!["reasoning_tokens"]!.GetValue<int>()
        );
    }

    [Theory]
    [InlineData("reasoning_content")]
    [InlineData("reasoning")]
    public async Task Thoughts_that_come_back_are_left_out_as_the_model_expects(string key)
    {
        string? prompt = null;
        await using var server = await StartAsync(text => prompt = text);
        var (status, _) = await server.Http.PostAsync(
            "/v1/chat/completions",
            $$"""
            {"model":"scripted","messages":[{"role":"user","content":"x"},
              {"role":"assistant","content":"y","{{key}}":"Long ago."},{"role":"user","content":"z"}]}
            """
        );
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal("[gMASK]<sop><|user|>\nx<|assistant|>\ny<|user|>\nz<|assistant|>", prompt);
    }

    [Fact]
    public async Task Thoughts_of_others_are_refused_by_name()
    {
        await using var server = await StartAsync();
        var (status, body) = await server.Http.PostAsync(
            "/v1/chat/completions",
            """{"model":"scripted","messages":[{"role":"user","content":"x","reasoning_content":"y"}]}"""
        );
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("messages[0].reasoning_content", Text(body["error"]!["param"]));
    }

    [Fact]
    public async Task An_answer_of_a_given_form_comes_without_thoughts()
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => "\n<think>\n\n</think>\n\n{}", TemplatePreset.Z1)
        );
        var (status, body) = await server.Http.PostAsync(
            "/v1/chat/completions",
            """
            {"model":"scripted","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}}
            """
        );
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal("{}", Text(body["choices"]![0]!["message"]!["content"]));
        Assert.Null(body["choices"]![0]!["message"]!["reasoning_content"]);
        Assert.Null(body["usage"]!["completion_tokens_details"]);
    }

    private static Task<RunningServer> StartAsync(Action<string>? onPrompt = null) =>
        RunningServer.StartAsync(
            ScriptedChat.Answering(
                prompt =>
                {
                    onPrompt?.Invoke(prompt);
                    return "\n<think>\nHm.\n</think>\nOk";
                },
                TemplatePreset.Z1
            )
        );

    private static string? Text(JsonNode? node) => node?.GetValue<string>();
}
