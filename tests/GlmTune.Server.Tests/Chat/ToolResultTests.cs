using System.Net;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests.Chat;

public sealed class ToolResultTests
{
    [Theory]
    [InlineData("a", "b", "one", "two")]
    [InlineData("b", "a", "two", "one")]
    public async Task Results_stand_in_the_order_of_their_calls(string first, string second, string one, string two)
    {
        var seen = "";
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(prompt =>
            {
                seen = prompt;
                return "\nx";
            })
        );
        var (status, _) = await server.Http.PostAsync("/v1/chat/completions", Asked(first, one, second, two));
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains(
            "<|assistant|>f\n{\"c\": 1}<|assistant|>f\n{}<|observation|>\none<|observation|>\ntwo",
            seen,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task An_id_that_no_call_has_is_named()
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nx"));
        var (status, body) = await server.Http.PostAsync("/v1/chat/completions", Asked("zz", "one", "b", "two"));
        Assert.Equal(
            (HttpStatusCode.BadRequest, "messages[2].tool_call_id"),
            (status, body["error"]!["param"]!.GetValue<string>())
        );
        Assert.Equal(
            "'messages[2].tool_call_id' is 'zz', but the calls before it have 'a', 'b'.",
            body["error"]!["message"]!.GetValue<string>()
        );
    }

    // One rule for requests and data files.
    [Theory]
    [InlineData("a b", "a b", null)]
    [InlineData("a b", "b a", null)]
    [InlineData("a b", "a", null)]
    [InlineData("a b", "- -", null)]
    [InlineData("- -", "- -", null)]
    [InlineData("a b", "b", "messages[1].tool_calls")]
    [InlineData("a a", "a a", "messages[1].tool_calls")]
    [InlineData("a b", "a x", "messages[3].tool_call_id")]
    [InlineData("a b", "a a", "messages[3].tool_call_id")]
    [InlineData("a b", "a -", "messages[3].tool_call_id")]
    [InlineData("- -", "a b", "messages[2].tool_call_id")]
    public async Task Ids_are_taken_or_refused_as_in_data_files(string calls, string results, string? wrong)
    {
        static string Field(string name, string id) => id == "-" ? "" : $"\"{name}\": \"{id}\", ";
        var request =
            $$"""
                {"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[
                """
            + string.Join(
                ',',
                calls.Split(' ').Select(id => $$$"""{{{{Field("id", id)}}}"type":"function","function":{"name":"f"}}""")
            )
            + "]}"
            + string.Concat(
                results.Split(' ').Select(id => $$$""",{{{{Field("tool_call_id", id)}}}"role":"tool","content":"r"}""")
            )
            + "]}";
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nx"));
        var (status, body) = await server.Http.PostAsync("/v1/chat/completions", request);
        Assert.Equal(
            (wrong is null ? HttpStatusCode.OK : HttpStatusCode.BadRequest, wrong),
            (status, body["error"]?["param"]?.GetValue<string>())
        );

        using var folder = new TemporaryFolder();
        var file = folder.Write("rows.jsonl", request.ReplaceLineEndings(" "));
        Assert.Equal(wrong is null, Data.Conversations.ConversationFile.Rows(file).Single().Problems.Count == 0);
    }

    [Theory]
    [InlineData("f", "\"x = 1\"", 400)]
    [InlineData("f", "\"[1]\"", 400)]
    [InlineData("f", "\"{\\\"a\\\": \\\"\\\\ud800\\\"}\"", 400)]
    [InlineData("f", "\"null\"", 200)]
    [InlineData("f", "null", 200)]
    [InlineData("f", "\"\"", 200)]
    [InlineData("python", "\"x = 1\"", 200)]
    public async Task Arguments_are_a_JSON_object_unless_they_are_code(string name, string arguments, int expected)
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nx"));
        var (status, body) = await server.Http.PostAsync(
            "/v1/chat/completions",
            $$$"""
            {"messages":[{"role":"user","content":"x"},
             {"role":"assistant","tool_calls":[{"id":"a","function":{"name":"{{{name}}}","arguments":{{{arguments}}}}}]},
             {"role":"tool","tool_call_id":"a","content":"r"}]}
            """
        );
        Assert.Equal(expected, (int)status);
        if (expected == 400)
        {
            Assert.Equal("messages[1].tool_calls[0].function.arguments", body["error"]!["param"]!.GetValue<string>());
        }
    }

    private static string Asked(string firstId, string first, string secondId, string second) =>
        $$$"""
            {"messages":[{"role":"user","content":"both"},
             {"role":"assistant","content":null,"tool_calls":[
              {"id":"a","type":"function","function":{"name":"f","arguments":"{\"c\": 1}"}},
              {"id":"b","type":"function","function":{"name":"f"}}]},
             {"role":"tool","tool_call_id":"{{{firstId}}}","content":"{{{first}}}"},
             {"role":"tool","tool_call_id":"{{{secondId}}}","content":"{{{second}}}"}]}
            """;
}
