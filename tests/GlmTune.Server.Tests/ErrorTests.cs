using System.Net;
using System.Text;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests;

public sealed class ErrorTests(NanoServer nano)
{
    [Theory]
    [InlineData("""{}""", "messages", "'messages' is missing or empty")]
    [InlineData("""{"messages":"x"}""", "messages", "'messages' is a string with an invalid value; expected a list.")]
    [InlineData("""{"messages":[{"role":"user"}]}""", "messages[0].content", "is missing")]
    [InlineData(
        """{"messages":[{"role":"user","content":""}]}""",
        "messages[0].content",
        "is empty; a user message needs"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":[]},{"role":"user","content":"x"}]}""",
        "messages[0].content",
        "is empty; a user message needs"
    )]
    [InlineData(
        """{"messages":[{"role":"robot","content":"x"}]}""",
        "messages[0].role",
        "'messages[0].role' is 'robot'"
    )]
    [InlineData("""{"messages":[{"role":"user","content":5}]}""", "messages[0].content", "is the number 5")]
    [InlineData(
        """{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}""",
        "messages[0].content[0].type",
        "reads only text"
    )]
    [InlineData("""{"messages":[{"role":"user","content":["x"]}]}""", "messages[0].content[0]", "is a string")]
    [InlineData(
        """{"messages":[{"role":"user","content":[{"text":"x"}]}]}""",
        "messages[0].content[0].type",
        "has no type"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"},{"role":"user","content":[{"type":"text"},{"type":"text","text":"y"}]}]}""",
        "messages[1].content[0].text",
        "is missing"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":[{"type":"text","text":5}]}]}""",
        "messages[0].content[0].text",
        "is the number 5"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":[{"type":"text","text":"\ud800"}]}]}""",
        "messages[0].content[0].text",
        "surrogate"
    )]
    [InlineData("""{"messages":[null]}""", "messages[0]", "has no role")]
    [InlineData("""{"messages":[{"content":"x"}]}""", "messages[0].role", "has no role")]
    [InlineData("""{"messages":[{"role":5}]}""", "messages[0].role", "is the number 5; expected a string")]
    [InlineData("""{"messages":[5]}""", "messages[0]", "is the number 5; expected an object")]
    [InlineData(
        """{"messages":[{"role":"assistant","tool_calls":[null]},{"role":"user","content":"x"}]}""",
        "messages[0].tool_calls[0]",
        "needs a 'function'"
    )]
    [InlineData(
        """{"messages":[{"role":"assistant","tool_calls":[{"type":"custom"}]},{"role":"user","content":"x"}]}""",
        "messages[0].tool_calls[0].type",
        "is 'custom'"
    )]
    [InlineData(
        """{"messages":[{"role":"assistant","tool_calls":[{"id":"1"}]},{"role":"user","content":"x"}]}""",
        "messages[0].tool_calls[0].function",
        "needs a 'function'"
    )]
    [InlineData(
        """{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"a\nb","arguments":"{}"}}]},{"role":"user","content":"x"}]}""",
        "messages[0].tool_calls[0].function.name",
        "must be a single line"
    )]
    [InlineData(
        """{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{1}"}}]},{"role":"user","content":"x"}]}""",
        "messages[0].tool_calls[0].function.arguments",
        "is '{1}'; expected a JSON object as a string"
    )]
    [InlineData(
        """{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{}}}]},{"role":"user","content":"x"}]}""",
        "messages[0].tool_calls[0].function.arguments",
        "is an object; expected a string"
    )]
    [InlineData(
        """{"messages":[{"role":"assistant","function_call":{"name":"f","arguments":"{}"}},{"role":"user","content":"x"}]}""",
        "messages[0].function_call",
        "use tool_calls"
    )]
    [InlineData(
        """{"messages":[{"role":"assistant","audio":{"id":"a"}},{"role":"user","content":"x"}]}""",
        "messages[0].audio",
        "use content"
    )]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"stop":["a",null]}""", "stop", "'stop'")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"tools":[5]}""", "tools[0]", "found a number")]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"custom","custom":{"name":"f"}}]}""",
        "tools[0].type",
        "type 'custom'"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"type":5,"function":{"name":"f"}}]}""",
        "tools[0].type",
        "is the number 5"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{}}]}""",
        "tools[0].function.name",
        "needs a name"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"name":5}]}""",
        "tools[0].name",
        "needs a name"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"a b"}]}""",
        "tools[0].name",
        "is not a valid tool name"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"function":{"name":"f"}},{"function":{"name":"f"}}]}""",
        "tools[1].function.name",
        "Two tools"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"function":{"name":"f","description":5}}]}""",
        "tools[0].function.description",
        "expected a string"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"function":{"name":"f","parameters":"x"}}]}""",
        "tools[0].function.parameters",
        "expected an object"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"function":{"name":"f","strict":"yes"}}]}""",
        "tools[0].function.strict",
        "expected true or false"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"function":{"name":"f"}},{"function":{"name":"g","strict":true,"parameters":{"type":"array","uniqueItems":true}}}],"tool_choice":{"type":"function","function":{"name":"g"}}}""",
        "tools[1].function.parameters",
        "cannot be enforced"
    )]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"tool_choice":5}""", "tool_choice", "is the number 5")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"tool_choice":"maybe"}""", "tool_choice", "is 'maybe'")]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"custom","custom":{"name":"f"}}}""",
        "tool_choice.type",
        "is 'custom'"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"function"}}""",
        "tool_choice.function",
        "must be an object"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"function","function":{}}}""",
        "tool_choice.function.name",
        "must be the name"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"function","function":{"name":"f"}}}""",
        "tool_choice.function.name",
        "which is not in 'tools'"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"allowed_tools"}}""",
        "tool_choice.allowed_tools",
        "must be an object"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"none"}}}""",
        "tool_choice.allowed_tools.mode",
        "auto or required"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}}""",
        "tool_choice.allowed_tools.tools",
        "non-empty"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"function":{"name":"f"}},{"function":{"name":"g"}}]}}}""",
        "tool_choice.allowed_tools.tools[1].function.name",
        "is not in 'tools'"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"response_format":"json"}""",
        "response_format",
        "is a string"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema"}}""",
        "response_format.json_schema",
        "with a 'schema'"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"a"}}}""",
        "response_format.json_schema.schema",
        "is missing"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":[]}}}""",
        "response_format.json_schema.schema",
        "is a list"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"logit_bias":[]}""",
        "logit_bias",
        "is a list; expected an object of token ids"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"logit_bias":{"x":1}}""",
        "logit_bias",
        "has the key 'x'; expected token ids from 0 to"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"logit_bias":{"9999999":1}}""",
        "logit_bias",
        "has the key '9999999'"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"logit_bias":{"5":101}}""",
        "logit_bias",
        "has the number 101 for token 5; expected a number from -100 to 100"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"logit_bias":{"5":"1"}}""",
        "logit_bias",
        "has a string for token 5"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"functions":[{"name":"f"}]}""",
        "functions",
        "declare them as tools"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"function_call":"auto"}""",
        "function_call",
        "use tool_choice"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"modalities":["text","audio"]}""",
        "modalities",
        "answers in text"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"audio":{"voice":"alloy","format":"wav"}}""",
        "audio",
        "answers in text"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"web_search_options":{}}""",
        "web_search_options",
        "is not supported"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]}""",
        "messages[1].role",
        "Nothing to answer"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"temperature":"hot"}""",
        "temperature",
        "expected a number"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"temperature":3}""",
        "temperature",
        "is 3; expected 0 to 2"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"n":9,"top_p":-1}""",
        "top_p",
        "'n' is 9; expected 1 to 8"
    )]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"max_tokens":0}""", "max_tokens", "expected at least 1")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"stop":[""]}""", "stop", "empty")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"top_logprobs":2}""", "top_logprobs", "requires logprobs")]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"stream_options":{"include_usage":true}}""",
        "stream_options",
        "stream: true"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function"}]}""",
        "tools[0].function",
        "no 'function' object"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"a\nb"}}]}""",
        "tools[0].function.name",
        "is not a valid tool name"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"tool_choice":"required"}""",
        "tool_choice",
        "'tools' is empty"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"xml"}}""",
        "response_format.type",
        "text, json_object or json_schema"
    )]
    [InlineData(
        """{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"array","uniqueItems":true}}}}""",
        "response_format.json_schema.schema",
        "uniqueItems is supported only for items"
    )]
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
    [InlineData("""{}""", "prompt", "non-empty")]
    [InlineData("""{"prompt":["a",5]}""", "prompt[1]", "is the number 5")]
    [InlineData("""{"prompt":[1,-1]}""", "prompt[1]", "token ids from 0")]
    [InlineData("""{"prompt":[[1,2],[3,"x"]]}""", "prompt[1][1]", "contains a string")]
    [InlineData("""{"prompt":["a","LONG"]}""", "prompt[1]", "at most 2047 are allowed")]
    [InlineData("""{"prompt":["a","b","c"],"n":3}""", "n", "requests 9 answers")]
    [InlineData("""{"prompt":["a","b","c"],"best_of":3}""", "best_of", "requests 9 answers")]
    [InlineData("""{"prompt":"x","best_of":9}""", "best_of", "is 9; expected 1 to 8")]
    [InlineData("""{"prompt":"x","n":3,"best_of":2}""", "best_of", "fewer than n")]
    [InlineData("""{"prompt":"x","best_of":2,"stream":true}""", "best_of", "remove 'stream'")]
    [InlineData("""{"prompt":"x","logprobs":6}""", "logprobs", "expected 0 to 5")]
    [InlineData("""{"prompt":"x","logprobs":1,"echo":true}""", "echo", "remove one of them")]
    [InlineData("""{"prompt":"x","suffix":"y"}""", "suffix", "is not supported")]
    [InlineData("""{"prompt":"x","logit_bias":{"-1":1}}""", "logit_bias", "has the key '-1'")]
    [InlineData("""{"prompt":"x","stop":[""]}""", "stop", "empty")]
    public async Task Wrong_fields_of_completions_are_named(string body, string param, string message)
    {
        var (status, answer) = await nano.Http.PostAsync(
            "/v1/completions",
            body.Replace("LONG", string.Concat(Enumerable.Repeat("12 ", 3000)), StringComparison.Ordinal)
        );
        Assert.Equal(HttpStatusCode.BadRequest, status);
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
    public async Task A_thousand_mistakes_make_no_long_message()
    {
        var biases = string.Join(',', Enumerable.Range(0, 1000).Select(i => $"\"x{i}\":1"));
        var (status, body) = await nano.Http.PostAsync(
            "/v1/chat/completions",
            $"{{\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}],\"logit_bias\":{{{biases}}}}}"
        );
        var message = body["error"]!["message"]!.GetValue<string>();
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.EndsWith("; and 980 more.", message, StringComparison.Ordinal);
        Assert.InRange(message.Length, 1, 4000);
    }

    [Fact]
    public async Task A_prompt_that_is_too_long_is_refused_before_it_waits()
    {
        var (status, answer) = await nano.Http.PostAsync(
            "/v1/chat/completions",
            $$"""{"messages":[{"role":"user","content":"{{string.Concat(Enumerable.Repeat("12 ", 3000))}}"}]}"""
        );
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
        using var response = await nano.Http.SendAsync(
            new HttpRequestMessage(new HttpMethod(method), path),
            TestContext.Current.CancellationToken
        );
        Assert.Equal(expected, (int)response.StatusCode);
        Assert.Contains(
            "\"error\":{\"message\":",
            await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)
        );
    }

    [Fact]
    public async Task A_body_must_say_that_it_is_JSON_so_that_forms_of_other_sites_cannot_send_it()
    {
        using var response = await nano.Http.PostAsync(
            "/v1/chat/completions",
            new StringContent("{}", Encoding.UTF8, "text/plain"),
            TestContext.Current.CancellationToken
        );
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
    }

    [Fact]
    public async Task A_body_that_is_too_large_is_refused()
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => "\nx"),
            new ServerOptions { Limits = new ServerLimits { BodyBytes = 1000 } }
        );
        var (status, answer) = await server.Http.PostAsync(
            "/v1/chat/completions",
            $$"""{"messages":[{"role":"user","content":"{{new string('x', 2000)}}"}]}"""
        );
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, status);
        Assert.Contains("1000 bytes", answer["error"]!["message"]!.GetValue<string>());
    }
}
