using System.Text.Json;
using GlmTune.Data.Conversations;
using Microsoft.Extensions.AI;

namespace GlmTune.Inference.Tests.Chat;

/// <summary>What the model wrote comes back in its own words after it went through other forms.</summary>
public class WrittenCallTests
{
    private static readonly string[] Names = ["get_weather", "python", "simple_browser", "cogview"];

    public static TheoryData<string> Answers { get; } =
    [
        "get_weather\n{\"city\": \"北京\"}",
        "get_weather\n{\"city\":\"\\u5317\",  \"n\": 1.50}",
        "get_weather\n{\n  \"city\": \"x\"\n}",
        "get_weather\n```json\n{\"city\": \"x\"}\n```",
        "\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"北京\"}}",
        "\n{\"name\": \"get_weather\", \"arguments\": {\"city\":1e5}}",
        "\n{\"name\":\"get_weather\",\"arguments\":{\"city\":\"x\"}}",
        "\n{\n    \"name\": \"get_weather\",\n    \"arguments\": {\n        \"city\": \"x\"\n    }\n}",
        "\n{\n  \"name\": \"get_weather\",\n  \"arguments\": {}\n}",
        "\n```json\n{\"name\": \"get_weather\", \"arguments\": {}}\n```",
        "python\nprint(\"a\\n\")\nprint('你')",
        "python\n{\"code\": \"print(1)\"}",
        "simple_browser\nsearch(\"news \\\"today\\\"\", recency_days=3)",
        "simple_browser\nsearch(\"天气\")",
        "simple_browser\nmclick([0, 1])",
        "cogview\na red cat",
    ];

    [Theory]
    [MemberData(nameof(Answers))]
    public void Through_name_arguments_and_id(string answer)
    {
        var (message, call) = Parse(answer);
        Assert.Equal(answer, Text(message));
        var id = WrittenCall.NewId(WrittenCall.FormOf(call, message));
        Assert.InRange(id.Length, 20, 40);
        Assert.Equal(
            answer,
            Text(WrittenCall.Message(id, call.Name, call.Arguments, isBuiltIn: call.Name != "get_weather"))
        );
        Assert.Equal(answer, Text(WrittenCall.Message(id, call.Name, call.Arguments, isBuiltIn: false)));
        Assert.NotEqual(id, WrittenCall.NewId(WrittenCall.FormOf(call, message)));
    }

    [Theory]
    [MemberData(nameof(Answers))]
    public async Task Through_messages_of_extensions_ai_written_as_json(string answer)
    {
        var prompts = new List<string>();
        using var client = new GlmChatClient(
            ScriptedChat.Answering(prompt =>
            {
                prompts.Add(prompt);
                return prompt.EndsWith("<|observation|>\n5<|assistant|>", StringComparison.Ordinal)
                    ? "\nDone."
                    : answer;
            }),
            ownsModel: true
        );
        var options = new ChatOptions { Tools = [.. Names.Select(name => AIFunctionFactory.Create(() => 5, name))] };
        var response = await client.GetResponseAsync(
            [new(ChatRole.User, "Hi")],
            options,
            TestContext.Current.CancellationToken
        );
        var call = Assert.IsType<FunctionCallContent>(Assert.Single(response.Messages[0].Contents));
        List<ChatMessage> history =
        [
            new(ChatRole.User, "Hi"),
            response.Messages[0],
            new(ChatRole.Tool, [new FunctionResultContent(call.CallId, "5")]),
        ];
        var kept = JsonSerializer.Deserialize<List<ChatMessage>>(
            JsonSerializer.Serialize(history, AIJsonUtilities.DefaultOptions),
            AIJsonUtilities.DefaultOptions
        )!;
        Assert.Null(kept[1].Contents.OfType<FunctionCallContent>().Single().RawRepresentation);
        foreach (var messages in (List<ChatMessage>[])[history, kept])
        {
            Assert.Equal(
                "Done.",
                (await client.GetResponseAsync(messages, options, TestContext.Current.CancellationToken)).Text
            );
            Assert.EndsWith(
                $"<|user|>\nHi<|assistant|>{answer}<|observation|>\n5<|assistant|>",
                prompts[^1],
                StringComparison.Ordinal
            );
        }

        // Arguments that were changed since are those that count.
        var changed = kept[1].Contents.OfType<FunctionCallContent>().Single();
        changed.Arguments = new Dictionary<string, object?> { ["changed"] = 1 };
        await client.GetResponseAsync(kept, options, TestContext.Current.CancellationToken);
        Assert.Contains("\"changed\": 1", prompts[^1], StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Answers))]
    public async Task Through_a_session(string answer)
    {
        var prompts = new List<string>();
        using var chat = ScriptedChat.Answering(prompt =>
        {
            prompts.Add(prompt);
            return prompt.EndsWith("<|observation|>\n5<|assistant|>", StringComparison.Ordinal) ? "\nDone." : answer;
        });
        var session = new ChatSession(
            chat,
            tools: [.. Names.Select(name => new ToolDefinition("function", name, $$"""{"name":"{{name}}"}"""))]
        );
        Assert.Equal("", await session.AskAsync("Hi", TestContext.Current.CancellationToken).Joined());
        Assert.Equal("Done.", await session.ObserveAsync("5", TestContext.Current.CancellationToken).Joined());
        Assert.EndsWith(
            $"<|user|>\nHi<|assistant|>{answer}<|observation|>\n5<|assistant|>",
            prompts[^1],
            StringComparison.Ordinal
        );
    }

    // Ids of other programs tell nothing: GLM-4's own form is taken, and code for its own tools.
    [Theory]
    [InlineData("call_abc", "get_weather", "{\"a\":1}", false, "get_weather\n{\"a\":1}")]
    [InlineData(null, "get_weather", "{\"a\":1}", false, "get_weather\n{\"a\":1}")]
    [InlineData("call_zz_1", "get_weather", "{\"a\":1}", false, "get_weather\n{\"a\":1}")]
    [InlineData("call_ffj_1", "get_weather", "{}", false, "get_weather\n{}")]
    [InlineData("call_j_1", "get_weather", "no object", false, "get_weather\nno object")]
    [InlineData("call_abc", "python", "{\"code\":\"print(1)\"}", true, "python\nprint(1)")]
    [InlineData("call_abc", "python", "{\"code\":\"print(1)\"}", false, "python\n{\"code\":\"print(1)\"}")]
    [InlineData(
        "call_abc",
        "python",
        "{\"code\":\"print(1)\",\"more\":1}",
        true,
        "python\n{\"code\":\"print(1)\",\"more\":1}"
    )]
    [InlineData("call_abc", "python", "{\"code\":\"\\ud800\"}", true, "python\n{\"code\":\"\\ud800\"}")]
    [InlineData(
        "call_abc",
        "simple_browser",
        "{\"query\":\"x\",\"recency_days\":7}",
        true,
        "simple_browser\nsearch(\"x\", recency_days=7)"
    )]
    public void Calls_of_other_programs_take_the_usual_form(
        string? id,
        string name,
        string arguments,
        bool isBuiltIn,
        string expected
    ) => Assert.Equal(expected, Text(WrittenCall.Message(id, name, arguments, isBuiltIn)));

    private static (Message Message, ToolCall Call) Parse(string answer)
    {
        var parsed = ToolCallParser.Parse(answer, Names);
        Assert.NotNull(parsed.Call);
        return (parsed.Message, parsed.Call);
    }

    private static string Text(Message message) => $"{message.Metadata}\n{message.Content}";
}
