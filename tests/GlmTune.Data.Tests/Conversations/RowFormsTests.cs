using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class RowFormsTests
{
    [Theory]
    [InlineData("""{"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}""")]
    [InlineData("""{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}""")]
    [InlineData("""{"conversation": [{"human": "q", "assistant": "a"}]}""")]
    [InlineData(
        """{"messages": [{"role": "user", "content": [{"type": "text", "value": "q"}]}, {"role": "assistant", "content": [{"type": "text", "text": "a"}]}]}"""
    )]
    [InlineData("""{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "refusal": "a"}]}""")]
    public void Lists_of_messages_are_read_in_each_of_their_forms(string row) =>
        Assert.Equal(["User::q", "Assistant::a"], Texts(row));

    [Theory]
    [InlineData(
        """{"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "sum", "arguments": "{\"x\":[1,2]}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "3"}]}"""
    )]
    [InlineData(
        """{"messages": [{"role": "assistant", "tool_calls": "[{\"function\": {\"name\": \"sum\", \"arguments\": {\"x\": [1, 2]}}}]"}, {"role": "tool", "content": "3"}]}"""
    )]
    [InlineData(
        """{"messages": [{"role": "tool_call", "content": "{\"name\": \"sum\", \"arguments\": {\"x\": [1, 2]}}"}, {"role": "tool_response", "content": "3"}]}"""
    )]
    [InlineData(
        """{"conversations": [{"role": "tool", "name": "sum", "parameters": {"x": [1, 2]}, "observation": "3"}]}"""
    )]
    [InlineData(
        """{"messages": [{"role": "assistant", "content": [{"type": "tool_call", "value": "{\"name\": \"sum\", \"arguments\": {\"x\": [1, 2]}}"}]}, {"role": "tool", "content": "3"}]}"""
    )]
    [InlineData(
        """{"messages": [{"role": "assistant", "metadata": "sum", "content": "{\"x\": [1, 2]}"}, {"role": "observation", "content": "3"}]}"""
    )]
    public void Calls_and_results_too(string row) =>
        Assert.Equal(["Assistant:sum:{\"x\": [1, 2]}", "Observation::3"], Texts(row));

    [Theory]
    [InlineData("""{"role": "assistant", "metadata": "now", "content": ""}""")]
    [InlineData("""{"role": "assistant", "metadata": "now"}""")]
    [InlineData("""{"role": "assistant", "tool_calls": [{"function": {"name": "now"}}]}""")]
    [InlineData("""{"role": "assistant", "tool_calls": [{"function": {"name": "now", "arguments": " "}}]}""")]
    [InlineData("""{"role": "assistant", "function_call": {"name": "now", "arguments": null}}""")]
    [InlineData("""{"role": "tool_call", "content": "{\"name\": \"now\"}"}""")]
    public void A_call_without_arguments_has_an_empty_object(string message) =>
        Assert.Equal(["Assistant:now:{}"], Texts($$"""{"messages": [{{message}}]}"""));

    [Fact]
    public void Arguments_that_were_encoded_twice_are_decoded_with_a_note()
    {
        var row = Read(
            """{"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": "\"{\\\"x\\\": 1}\""}}]}"""
        );
        Assert.Equal("{\"x\": 1}", row.Conversation!.Messages[0].Content);
        Assert.Contains("encoded as JSON twice", Assert.Single(row.Notes), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"role": "assistant", "metadata": "f", "content": "{'x': 1}"}""", "found ' (a single quote)")]
    [InlineData("""{"role": "assistant", "metadata": "f", "content": "3"}""", "found a number; expected an object")]
    [InlineData(
        """{"role": "assistant", "metadata": "python", "content": " "}""",
        "a call of 'python' without content"
    )]
    [InlineData(
        """{"role": "assistant", "metadata": "f", "content": "{}", "tool_calls": [{"function": {"name": "g"}}]}""",
        "calls tools in two ways"
    )]
    public void Arguments_that_are_no_object_are_errors(string message, string text) =>
        Assert.Contains(
            text,
            Assert.Single(Read($$"""{"messages": [{{message}}]}""").Problems).Text,
            StringComparison.Ordinal
        );

    [Fact]
    public void Code_is_taken_where_the_tool_is_python_unless_a_function_has_that_name()
    {
        const string Call = """{"role": "assistant", "metadata": "python", "content": "print(1)"}""";
        Assert.Equal(["Assistant:python:print(1)"], Texts($$"""{"messages": [{{Call}}]}"""));
        Assert.Contains(
            "not a JSON object",
            Assert.Single(Read($$"""{"tools": [{"name": "python"}], "messages": [{{Call}}]}""").Problems).Text,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("""{"role": "user", "text": "a"}""", "no 'content'; found 'role', 'text'.")]
    [InlineData("""{"role": "user"}""", "no 'content'; found 'role'.")]
    [InlineData("""{"role": "tool", "tool_call_id": "1"}""", "no 'content'; found 'role', 'tool_call_id'.")]
    [InlineData("""{"role": "user", "content": "a", "value": "b"}""", "both 'content' and 'value'")]
    [InlineData("""{"role": "user", "from": "gpt", "content": "a"}""", "both 'role' and 'from'")]
    [InlineData("""{"role": "tool", "name": "f", "observation": "r"}""", "'observation' without 'parameters'")]
    [InlineData("""{"role": "tool", "name": "f", "parameters": {}}""", "no 'observation' beside 'parameters'")]
    [InlineData(
        """{"role": "tool", "name": "f", "parameters": {}, "observation": "r", "content": "s"}""",
        "both 'observation' and 'content'"
    )]
    public void No_text_is_lost_to_another_key(string message, string text) =>
        Assert.StartsWith(
            text,
            Assert.Single(Read($$"""{"messages": [{{message}}]}""").Problems).Text,
            StringComparison.Ordinal
        );

    [Theory]
    [InlineData("""{"role": "user", "from": "user", "content": "a"}""")]
    [InlineData("""{"from": "human", "content": null, "value": "a"}""")]
    [InlineData("""{"role": "user", "content": "a", "value": "a"}""")]
    public void A_key_that_says_the_same_again_does_no_harm(string message) =>
        Assert.Equal(["User::a"], Texts($$"""{"messages": [{{message}}]}"""));

    [Theory]
    [InlineData("""{"prompt": "a", "chosen": "b", "rejected": "c"}""", "'chosen': it belongs to preference training")]
    [InlineData("""{"text": "a"}""", "plain text to train on is the 'content' of one message of the assistant")]
    [InlineData("""{"prompt": "a", "completion": "b"}""", "--from ms-swift")]
    [InlineData("""{"question": "a", "answer": "b"}""", "--from ms-swift")]
    public void A_row_of_another_kind_is_told_where_it_belongs(string row, string text) =>
        Assert.Contains(text, Assert.Single(Read(row).Problems).Text, StringComparison.Ordinal);

    [Fact]
    public void Results_follow_the_order_of_the_calls_that_they_name()
    {
        const string Calls =
            """{"role": "assistant", "tool_calls": [{"id": "u", "function": {"name": "f"}}, {"id": "v", "function": {"name": "g"}}]}""";
        Assert.Equal(
            ["Assistant:f:{}", "Assistant:g:{}", "Observation::of f", "Observation::of g", "Assistant::done"],
            Texts(
                $$"""{"messages": [{{Calls}}, {"role": "tool", "tool_call_id": "v", "content": "of g"}, {"role": "tool", "tool_call_id": "u", "content": "of f"}, {"role": "assistant", "content": "done"}]}"""
            )
        );
        var bad = Read($$"""{"messages": [{{Calls}}, {"role": "tool", "tool_call_id": "w", "content": "x"}]}""");
        var problem = Assert.Single(bad.Problems);
        Assert.Equal(1, problem.Message);
        Assert.Contains(
            "'tool_call_id' is 'w', but the calls before it have 'u', 'v'",
            problem.Text,
            StringComparison.Ordinal
        );
    }

    private static IEnumerable<string> Texts(string row)
    {
        var read = Read(row);
        Assert.Empty(read.Problems);
        return read.Conversation!.Messages.Select(message => $"{message.Role}:{message.Metadata}:{message.Content}");
    }

    private static ConversationRow Read(string row)
    {
        using var folder = new TemporaryFolder();
        return Assert.Single(ConversationFile.Rows(folder.Write("a.jsonl", row)).ToList());
    }
}
