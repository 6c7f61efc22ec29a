using System.Text;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class ConversationFileTests
{
    [Fact]
    public void A_row_keeps_its_roles_metadata_tools_and_loss_flags()
    {
        var conversation = Read(
            """
            {"api": 1, "messages": [
            {"role": "system", "content": "", "tools": [{"type": "function", "function": {"name": "f", "z": 1, "a": 1.0}}, {"type": "python"}, {"name": "g", "args": {"x": 1}}]},
            {"role": "user", "content": "u", "tools": null, "metadata": null},
            {"role": "assistant", "metadata": "f", "content": "{}", "loss": false},
            {"role": "observation", "content": "o"},
            {"role": "assistant", "content": null, "loss": true}]}
            """.ReplaceLineEndings("")
        );

        Assert.Equal(
            [Role.System, Role.User, Role.Assistant, Role.Observation, Role.Assistant],
            conversation.Messages.Select(message => message.Role)
        );
        Assert.Equal(["", "u", "{}", "o", ""], conversation.Messages.Select(message => message.Content));
        Assert.Equal("f", conversation.Messages[2].Metadata);
        Assert.Equal([null, null, false, null, true], conversation.Messages.Select(message => message.Loss));
        Assert.Equal([false, false, false, false, true], conversation.Messages.Select(message => message.IsSupervised));
        Assert.Equal(
            [
                new ToolDefinition("function", "f", """{"name": "f", "z": 1, "a": 1.0}"""),
                new ToolDefinition("python", "python", ""),
                new ToolDefinition("function", "g", """{"name": "g", "args": {"x": 1}}"""),
            ],
            conversation.Messages[0].Tools
        );
    }

    [Theory]
    [InlineData("""[1]""", null, "found an array; expected an object with 'messages'")]
    [InlineData("""{"messages": []}""", null, "'messages' is an empty array")]
    [InlineData("""{"messages": {}}""", null, "'messages' is an object")]
    [InlineData("""{"content": "a", "summary": "b"}""", null, "--from advertisegen")]
    [InlineData("""{"conversations": []}""", null, "'conversations' is an empty array")]
    [InlineData("""{"query": "a", "response": "b"}""", null, "--from ms-swift")]
    [InlineData("""{"input": "a", "output": "b"}""", null, "--from alpaca")]
    [InlineData(
        """{"messages": [{"role": "user", "content": "a"}], "tools": [{}]}""",
        null,
        "tools[0]: no 'function' object"
    )]
    [InlineData("""{"messages": [1]}""", 0, "found a number; expected an object")]
    [InlineData("""{"messages": [{"content": "a"}]}""", 0, "no 'role'; found 'content'")]
    [InlineData(
        """{"messages": [{"role": "bot", "content": "a"}]}""",
        0,
        "role 'bot'; expected system, user, assistant or observation"
    )]
    [InlineData(
        """{"messages": [{"role": "user", "content": "a", "tool_calls": [{"name": "f"}]}]}""",
        0,
        "a tool call on a message with role 'user'; only the assistant calls tools"
    )]
    [InlineData("""{"messages": [{"role": "user", "content": ["a"]}]}""", 0, "content[0] is a string; expected a part")]
    [InlineData("""{"messages": [{"role": "user", "content": "a", "metadata": 1}]}""", 0, "'metadata' is a number")]
    [InlineData(
        """{"messages": [{"role": "user", "content": "a", "loss": 1}]}""",
        0,
        "'loss' is a number; expected true or false"
    )]
    [InlineData(
        """{"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "a"}]}""",
        1,
        "role 'system' after 'user'. A conversation has at most one system message, which must come first."
    )]
    [InlineData(
        """{"messages": [{"role": "system", "content": "a"}, {"role": "system", "content": "a"}]}""",
        1,
        "role 'system' after 'system'"
    )]
    [InlineData(
        """{"messages": [{"role": "user", "content": "a", "tools": [{"type": "python"}]}]}""",
        0,
        "'tools' on a message with role 'user'"
    )]
    [InlineData(
        """{"messages": [{"role": "system", "tools": "[,]"}]}""",
        0,
        "'tools' is a string that is not valid JSON"
    )]
    [InlineData(
        """{"messages": [{"role": "system", "tools": [{"type": "function"}]}]}""",
        0,
        "tools[0]: no 'function' object"
    )]
    [InlineData(
        """{"messages": [{"role": "system", "tools": [{"type": "python"}, {"type": "function", "function": {}}]}]}""",
        0,
        "tools[1]: 'function.name'"
    )]
    [InlineData(
        """{"messages": [{"role": "system", "tools": [{"type": "retrieval"}]}]}""",
        0,
        "tools[0]: type 'retrieval'; expected function, python"
    )]
    [InlineData(
        """{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}]}""",
        0,
        "a tool call without a name; found 'id'"
    )]
    [InlineData("""{"messages": [{"role": "user", "content": "\ud800"}]}""", null, "unpaired surrogate")]
    [InlineData(
        """{"messages": [{"role": "system", "tools": [{"name": "f", "x": "\udc00"}]}]}""",
        null,
        "unpaired surrogate"
    )]
    [InlineData(
        """{"messages": [{"role": "user", "content": "a"}]""",
        null,
        "not valid JSON at character 48: the text ends"
    )]
    public void A_bad_row_is_reported_with_line_message_and_remedy(string row, int? message, string text)
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write(
            "train.jsonl",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n\n" + row + "\n"
        );

        var rows = ConversationFile.Rows(path).ToList();

        Assert.Equal([1, 3], rows.Select(read => read.Line));
        Assert.Null(rows[1].Conversation);
        var problem = Assert.Single(rows[1].Problems);
        Assert.Equal(message, problem.Message);
        Assert.Contains(text, problem.Text, StringComparison.Ordinal);
        Assert.StartsWith(
            message is null ? "train.jsonl, line 3: " : $"train.jsonl, line 3, messages[{message}]: ",
            problem.ToString(),
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void All_problems_of_a_file_are_reported_at_once_up_to_a_limit()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write(
            "a.jsonl",
            """{"messages": [{"role": "x"}, {"role": "y"}]}"""
                + "\n"
                + string.Concat(Enumerable.Range(0, 30).Select(row => $"{{\"k{row}\": 0}}\n"))
        );
        var message = Assert.Throws<InvalidDataException>(() => ConversationFile.Read(path)).Message;
        Assert.Contains("line 1, messages[0]", message, StringComparison.Ordinal);
        Assert.Contains("line 1, messages[1]", message, StringComparison.Ordinal);
        Assert.Contains("line 19: ", message, StringComparison.Ordinal);
        Assert.EndsWith("… and 12 more problems.", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Skipping_leaves_out_only_the_bad_rows()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("a.jsonl", Row("1") + "\n{}\n" + Row("2"));
        Assert.Equal(
            ["1", "2"],
            ConversationFile.Read(path, BadRows.Skip).Select(conversation => conversation.Messages[0].Content)
        );
    }

    [Fact]
    public void Lines_may_be_long_end_in_any_way_and_begin_with_a_byte_order_mark()
    {
        using var folder = new TemporaryFolder();
        var texts = new[] { "a", new string('长', 100_000), "b\u2028c", new string('x', 65_535), "end" };
        File.WriteAllText(
            folder.At("a.jsonl"),
            string.Join("\r\n", texts.Select(Row)),
            new UTF8Encoding(encoderShouldEmitUTF8Identifier: true)
        );
        Assert.Equal(
            texts,
            ConversationFile.Read(folder.At("a.jsonl")).Select(conversation => conversation.Messages[0].Content)
        );
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Rows_come_in_the_files_order_whatever_the_parallelism(int parallelism)
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("a.jsonl", string.Join('\n', Enumerable.Range(0, 1000).Select(i => Row($"{i}"))));
        Assert.Equal(
            Enumerable.Range(0, 1000).Select(i => $"{i}"),
            ConversationFile.Rows(path, parallelism).Select(row => row.Conversation!.Messages[0].Content)
        );
        Assert.Equal(Enumerable.Range(1, 1000), ConversationFile.Rows(path, parallelism).Select(row => row.Line));
    }

    [Fact]
    public void A_line_that_is_not_UTF_8_is_reported()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.At("a.jsonl"), Encoding.Latin1.GetBytes(Row("é")));
        Assert.Contains(
            "not valid UTF-8",
            Assert.Throws<InvalidDataException>(() => ConversationFile.Read(folder.At("a.jsonl"))).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_missing_file_is_named() =>
        Assert.Contains(
            "nowhere.jsonl",
            Assert.Throws<InvalidDataException>(() => ConversationFile.Read("nowhere.jsonl")).Message,
            StringComparison.Ordinal
        );

    [Theory]
    [InlineData("toolalpaca/glaive_en.messages.jsonl", 300)]
    [InlineData("toolalpaca/glaive_zh.native.jsonl", 300)]
    [InlineData("toolalpaca/toolalpaca_eval_real.native.jsonl", 110)]
    [InlineData("toolalpaca/toolalpaca_eval_simulated.native.jsonl", 93)]
    [InlineData("advertisegen/dev.messages.jsonl", 1070)]
    public void Every_row_of_the_reference_files_is_read(string file, int rows) =>
        Assert.Equal(rows, ConversationFile.Read(GoldenData.Shared(file)).Count);

    private static string Row(string content) =>
        $"{{\"messages\": [{{\"role\": \"user\", \"content\": \"{content}\"}}]}}";

    private static Conversation Read(string row)
    {
        using var folder = new TemporaryFolder();
        return Assert.Single(ConversationFile.Read(folder.Write("a.jsonl", row)));
    }
}
