using System.Net;
using System.Text;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests;

public sealed class ErrorTests(NanoServer nano)
{
    [Theory]
    [InlineData("""{}""", "messages", "'messages' is missing or empty")]
    [InlineData("""{"messages":"x"}""", "messages", "'messages' is a string that does not fit; expected a list.")]
    [InlineData("""{"messages":[{"role":"user"}]}""", "messages[0].content", "is missing")]
    [InlineData("""{"messages":[{"role":"user","content":""}]}""", "messages[0].content", "is empty; a user says something")]
    [InlineData("""{"messages":[{"role":"user","content":[]},{"role":"user","content":"x"}]}""", "messages[0].content", "is empty; a user says something")]
    [InlineData("""{"messages":[{"role":"robot","content":"x"}]}""", "messages[0].role", "'messages[0].role' is 'robot'")]
    [InlineData("""{"messages":[{"role":"user","content":5}]}""", "messages[0].content", "is the number 5")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}""", "messages[0].content[0]", "reads text only")]
    [InlineData("""{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]}""", "messages[1].role", "nothing to answer")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"temperature":"hot"}""", "temperature", "expected a number")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"temperature":3}""", "temperature", "is 3; expected 0 to 2")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"n":9,"top_p":-1}""", "top_p", "'n' is 9; expected 1 to 8")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"max_tokens":0}""", "max_tokens", "expected at least 1")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"stop":[""]}""", "stop", "empty")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"top_logprobs":2}""", "top_logprobs", "needs logprobs")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"stream_options":{"include_usage":true}}""", "stream_options", "stream: true")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function"}]}""", "tools[0]", "no 'function' object")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"a\nb"}}]}""", "tools[0].function.name", "is no name of a tool")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"tool_choice":"required"}""", "tool_choice", "'tools' is empty")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"xml"}}""", "response_format.type", "text, json_object or json_schema")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"array","uniqueItems":true}}}}""", "response_format.json_schema", "'uniqueItems' is not supported")]
    [InlineData("""{"messages":[{"role":"user","content":"\ud800"}]}""", "messages[0].content", "surrogate")]
    [InlineData("""{"model":"gpt-4","messages":[{"role":"user","content":"x"}]}""", "model", "does not exist", 404)]
    public async Task Wrong_fields_are_named(string body, string param, string message, int expected = 400)
    {
        var (status, answer) = await nano.Http.PostAsync("/v1/chat/completions", body);
        Assert.Equal(expected, (int)status);
        Assert.Equal(["message", "type", "param", "code"], answer["error"]!.AsObject().Select(member => member.Key));
        Assert.Equal("invalid_request_error", answer["error"]!["type"]!.GetValue<string>());
        Assert.Equal(param, answer["error"]!["param"]?.GetValue<string>());
        Assert.Contains(message, answer["error"]!["message"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("{", 400)]
    [InlineData("[]", 400)]
    [InlineData("", 400)]
    [InlineData("{\"messages\": \"\u0001\"}", 400)]
    public async Task Bodies_that_are_no_object_are_refused(string body, int expected)
    {
        var (status, answer) = await nano.Http.PostAsync("/v1/completions", body);
        Assert.Equal(expected, (int)status);
        Assert.NotNull(answer["error"]!["message"]);
    }

    [Fact]
    public async Task A_prompt_that_is_too_long_is_refused_before_it_waits()
    {
        var (status, answer) = await nano.Http.PostAsync("/v1/chat/completions", $$"""{"messages":[{"role":"user","content":"{{string.Concat(Enumerable.Repeat("12 ", 3000))}}"}]}""");
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("context_length_exceeded", answer["error"]!["code"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("GET", "/v1/chat/completions", 405)]
    [InlineData("GET", "/v1/nothing", 404)]
    [InlineData("GET", "/v1/models/none", 404)]
    [InlineData("GET", "/../../etc/passwd", 404)]
    [InlineData("GET", "/v1/models/..%2f..%2fetc%2fpasswd", 404)]
    [InlineData("DELETE", "/health", 405)]
    public async Task Wrong_addresses_are_errors_of_the_same_shape(string method, string path, int expected)
    {
        using var response = await nano.Http.SendAsync(new HttpRequestMessage(new HttpMethod(method), path), TestContext.Current.CancellationToken);
        Assert.Equal(expected, (int)response.StatusCode);
        Assert.Contains("\"error\":{\"message\":", await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_body_must_say_that_it_is_JSON_so_that_forms_of_other_sites_cannot_send_it()
    {
        using var response = await nano.Http.PostAsync("/v1/chat/completions", new StringContent("{}", Encoding.UTF8, "text/plain"), TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
    }

    [Fact]
    public async Task A_body_that_is_too_large_is_refused()
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nx"), new ServerOptions { Limits = new ServerLimits { BodyBytes = 1000 } });
        var (status, answer) = await server.Http.PostAsync("/v1/chat/completions", $$"""{"messages":[{"role":"user","content":"{{new string('x', 2000)}}"}]}""");
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, status);
        Assert.Contains("1000 bytes", answer["error"]!["message"]!.GetValue<string>());
    }
}
