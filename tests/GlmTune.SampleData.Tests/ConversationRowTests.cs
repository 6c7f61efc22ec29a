using System.Text.Json.Nodes;
using GlmTune.Data.Conversations;

namespace GlmTune.SampleData;

/// <summary>The rules of the fine-tuning format, checked on every committed row without the generator's
/// classes.</summary>
public sealed class ConversationRowTests
{
    public static TheoryData<string> Files => [.. Committed.ConversationFiles];

    [Theory]
    [MemberData(nameof(Files))]
    public void Roles_follow_each_other_as_the_format_wants(string file)
    {
        foreach (var row in Committed.Rows(file))
        {
            var roles = row.Select(message => message.Text("role")).ToList();
            var turns = roles[0] == "system" ? roles[1..] : roles;
            Assert.Equal("user", turns[0]);
            Assert.Equal("assistant", turns[^1]);
            for (var i = 1; i < turns.Count; i++)
            {
                Assert.Contains(
                    (turns[i - 1], turns[i]),
                    new[]
                    {
                        ("user", "assistant"),
                        ("assistant", "user"),
                        ("assistant", "observation"),
                        ("observation", "assistant"),
                    }
                );
            }
        }
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void Only_a_system_message_with_tools_is_empty(string file)
    {
        foreach (var message in Committed.Rows(file).SelectMany(row => row))
        {
            var hasTools = message!.AsObject().ContainsKey("tools");
            Assert.Equal(hasTools, message.Text("content").Length == 0);
            Assert.True(!hasTools || message.Text("role") == "system");
        }
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void The_reader_finds_no_problem(string file) =>
        Assert.All(ConversationFile.Rows(Committed.Path($"data/{file}.jsonl")), row => Assert.Empty(row.Problems));

    [Theory]
    [MemberData(nameof(Files))]
    public void No_row_is_there_twice(string file) => Assert.Distinct(Committed.Lines(file));

    [Theory]
    [InlineData("tools/train")]
    [InlineData("tools/dev")]
    public void A_call_names_an_offered_tool_and_gives_its_arguments(string file)
    {
        foreach (var row in Committed.Rows(file))
        {
            var tools = row[0]!["tools"]!
                .AsArray()
                .Select(tool => tool!["function"]!)
                .ToDictionary(function => function.Text("name"));
            for (var i = 1; i < row.Count; i++)
            {
                var isCall =
                    row[i].Text("role") == "assistant" && i + 1 < row.Count && row[i + 1].Text("role") == "observation";
                Assert.True(isCall || !row[i]!.AsObject().ContainsKey("metadata"));
                if (isCall)
                {
                    var (name, arguments) = Call(row[i]!);
                    var parameters = tools[name]["parameters"]!;
                    var properties = parameters["properties"]!.AsObject();
                    Assert.All(arguments, argument => AssertFits(properties[argument.Key]!, argument.Value!));
                    Assert.All(
                        parameters["required"]!.AsArray(),
                        key => Assert.True(arguments.ContainsKey(key!.GetValue<string>()))
                    );
                }
            }
        }
    }

    [Theory]
    [InlineData("tools/train")]
    [InlineData("tools/dev")]
    public void Both_styles_of_calls_are_there_alike(string file)
    {
        var rows = Committed.Rows(file);
        var named = rows.Count(row => row.Any(message => message!.AsObject().ContainsKey("metadata")));
        var inContent = rows.Count(row =>
            row.Any(message =>
                message.Text("content").StartsWith("{\"name\": \"", StringComparison.Ordinal)
                && message.Text("role") == "assistant"
                && !message!.AsObject().ContainsKey("metadata")
            )
        );

        Assert.Equal(rows.Count / 2, named);
        Assert.Equal(rows.Count / 2, inContent);
        Assert.Contains(rows, row => row.Count(message => message.Text("role") == "observation") > 1);
        Assert.Contains(
            rows,
            row => row[1].Text("role") == "user" && row[2].Text("role") == "assistant" && row[3].Text("role") == "user"
        );
    }

    private static (string Name, JsonObject Arguments) Call(JsonNode message)
    {
        var content = JsonNode.Parse(message.Text("content"))!.AsObject();
        return message.AsObject().ContainsKey("metadata")
            ? (message.Text("metadata"), content)
            : (content.Text("name"), content["arguments"]!.AsObject());
    }

    private static void AssertFits(JsonNode schema, JsonNode value)
    {
        Assert.Equal(
            schema.Text("type") == "string"
                ? System.Text.Json.JsonValueKind.String
                : System.Text.Json.JsonValueKind.Number,
            value.GetValueKind()
        );
        if (schema["enum"] is JsonArray choices)
        {
            Assert.Contains(value.GetValue<string>(), choices.Select(choice => choice!.GetValue<string>()));
        }
    }
}
