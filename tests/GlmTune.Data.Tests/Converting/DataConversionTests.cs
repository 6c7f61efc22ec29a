using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;
using GlmTune.Data.Converting;

namespace GlmTune.Data.Tests.Converting;

public class DataConversionTests
{
    [Theory]
    [InlineData("advertisegen", "advertisegen/dev.json", "advertisegen/dev.messages.jsonl", ToolCallStyle.Native, 0)]
    [InlineData(
        "sharegpt",
        "toolalpaca/glaive_toolcall_en_demo.json",
        "toolalpaca/glaive_en.native.jsonl",
        ToolCallStyle.Native,
        0
    )]
    [InlineData(
        "sharegpt",
        "toolalpaca/glaive_toolcall_zh_demo.json",
        "toolalpaca/glaive_zh.native.jsonl",
        ToolCallStyle.Native,
        0
    )]
    [InlineData(
        "sharegpt",
        "toolalpaca/glaive_toolcall_en_demo.json",
        "toolalpaca/glaive_en.messages.jsonl",
        ToolCallStyle.Json,
        0
    )]
    [InlineData(
        "sharegpt",
        "toolalpaca/glaive_toolcall_zh_demo.json",
        "toolalpaca/glaive_zh.messages.jsonl",
        ToolCallStyle.Json,
        0
    )]
    [InlineData(
        "toolalpaca",
        "toolalpaca/toolalpaca_eval_real.json",
        "toolalpaca/toolalpaca_eval_real.native.jsonl",
        ToolCallStyle.Native,
        4
    )]
    [InlineData(
        "toolalpaca",
        "toolalpaca/toolalpaca_eval_simulated.json",
        "toolalpaca/toolalpaca_eval_simulated.native.jsonl",
        ToolCallStyle.Native,
        7
    )]
    public void The_reference_files_are_converted_as_others_did(
        string shape,
        string source,
        string reference,
        ToolCallStyle calls,
        int damaged
    )
    {
        using var folder = new TemporaryFolder();
        var report = DataConversion.Convert(
            RowShape.Named(shape),
            GoldenData.Shared(source),
            folder.At("out.jsonl"),
            calls,
            BadRows.Skip
        );
        var expected = ConversationFile.Read(GoldenData.Shared(reference));
        var actual = ConversationFile.Read(folder.At("out.jsonl"));
        Assert.Equal((expected.Count, damaged), (report.Conversations, report.Problems.Count));
        Assert.Equal(expected.Select(Comparable), actual.Select(Comparable));
    }

    [Fact]
    public void OpenAI_rows_become_conversations()
    {
        var conversation = Assert.Single(
            Convert(
                "openai",
                """
                {"messages": [
                  {"role": "system", "content": "S"},
                  {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                  {"role": "assistant", "content": "Wait.", "weight": 0, "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
                    {"id": "2", "type": "function", "function": {"name": "g", "arguments": {"y": [1, 2]}}}]},
                  {"role": "tool", "tool_call_id": "1", "content": "r"},
                  {"role": "assistant", "content": null, "function_call": {"name": "h", "arguments": "{}"}},
                  {"role": "function", "name": "h", "content": "q"},
                  {"role": "assistant", "content": "done", "weight": 1}],
                 "tools": [{"type": "function", "function": {"name": "f"}}], "functions": [{"name": "h"}]}
                """
            )
        );
        Assert.Equal(
            [
                (Role.System, "", "S", null),
                (Role.User, "", "ab", null),
                (Role.Assistant, "", "Wait.", false),
                (Role.Assistant, "f", "{\"x\": 1}", false),
                (Role.Assistant, "g", "{\"y\": [1, 2]}", false),
                (Role.Observation, "", "r", null),
                (Role.Assistant, "h", "{}", null),
                (Role.Observation, "", "q", null),
                (Role.Assistant, "", "done", (bool?)true),
            ],
            conversation.Messages.Select(message => (message.Role, message.Metadata, message.Content, message.Loss))
        );
        Assert.Equal(["f", "h"], conversation.Messages[0].Tools.Select(tool => tool.Name));
    }

    [Fact]
    public void Alpaca_rows_become_conversations()
    {
        var conversations = Convert(
                "alpaca",
                """
                [{"instruction": "i", "input": "", "output": "o"},
                 {"instruction": "i", "input": "x", "output": "o", "system": "s", "history": [["q", "a"]]}]
                """
            )
            .Select(conversation =>
                string.Join('|', conversation.Messages.Select(message => $"{message.Role}:{message.Content}"))
            );
        Assert.Equal(["User:i|Assistant:o", "System:s|User:q|Assistant:a|User:i\nx|Assistant:o"], conversations);
    }

    [Fact]
    public void ToolAlpacas_training_entries_become_a_conversation_for_each_instance()
    {
        var conversation = Assert.Single(
            Convert(
                "toolalpaca",
                """
                [{"Name": "A", "Function_Description": {"f": "Does.\nParameters: {\"x\": \"Required. integer. How many.\", \"y\": \"Array[string].\"}\nOutput: ok.", "components": ""},
                  "Instances": [{"input": "q", "output": "o", "intermediate_steps": [[["f", "{\"x\": 1}", "thought"], "Status Code: 200"]]}]}]
                """
            )
        );
        Assert.Equal(
            ["System::", "User::q", "Assistant:f:{\"x\": 1}", "Observation::Status Code: 200", "Assistant::o"],
            conversation.Messages.Select(message => $"{message.Role}:{message.Metadata}:{message.Content}")
        );
        var function = JsonDocument.Parse(Assert.Single(conversation.Messages[0].Tools).Json).RootElement;
        Assert.Equal("Does.", function.Text("description"));
        Assert.Equal(
            "integer",
            function.GetProperty("parameters").GetProperty("properties").GetProperty("x").Text("type")
        );
        Assert.Equal(
            "array",
            function.GetProperty("parameters").GetProperty("properties").GetProperty("y").Text("type")
        );
        Assert.Equal(
            ["x"],
            function
                .GetProperty("parameters")
                .GetProperty("required")
                .EnumerateArray()
                .Select(name => name.GetString()!)
        );
    }

    [Theory]
    [InlineData("advertisegen", """{"content": "a"}""", "no 'summary'; found 'content'")]
    [InlineData("alpaca", """{"instruction": 1, "output": "a"}""", "'instruction' is a number; expected a string")]
    [InlineData(
        "openai",
        """{"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "a"}]}""",
        "messages[1]: role 'system' after 'user'"
    )]
    [InlineData(
        "openai",
        """{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}""",
        "type 'image_url'; this program trains on text alone"
    )]
    [InlineData(
        "sharegpt",
        """{"conversations": [{"from": "function_call", "value": "f(x)"}]}""",
        "messages[0]: the call is a string that is not valid JSON"
    )]
    [InlineData("sharegpt", """{"conversations": [{"from": "judge", "value": ""}]}""", "role 'judge'; expected system")]
    [InlineData("toolalpaca", """{"Name": "A"}""", "no 'Function_Description'")]
    public void An_entry_of_another_shape_is_reported_with_its_line(string shape, string entry, string message)
    {
        using var folder = new TemporaryFolder();
        var source = folder.Write("in.json", $"[\n\n{entry}\n]");
        var error = Assert
            .Throws<InvalidDataException>(() =>
                DataConversion.Convert(RowShape.Named(shape), source, folder.At("out.jsonl"))
            )
            .Message;
        Assert.StartsWith("in.json, entry 1 (line 3)", error, StringComparison.Ordinal);
        Assert.Contains(message, error, StringComparison.Ordinal);
        // Nothing half written is left.
        Assert.Equal(["in.json"], Directory.GetFiles(folder.Path).Select(file => Path.GetFileName(file)!));
    }

    [Fact]
    public void Skipped_entries_are_reported()
    {
        using var folder = new TemporaryFolder();
        var source = folder.Write("in.jsonl", "{\"content\": \"a\", \"summary\": \"b\"}\n{}\n[1]\nnot json\n");
        var report = DataConversion.Convert(
            RowShape.Named("AdvertiseGen"),
            source,
            folder.At("out.jsonl"),
            badRows: BadRows.Skip
        );
        Assert.Equal((4, 1), (report.Entries, report.Conversations));
        Assert.Equal([2, 3, 4], report.Problems.Select(problem => problem.Line));
    }

    [Theory]
    [InlineData("ms-swift", """{"query": "q", "response": "a", "history": [["h", "i"]], "system": "s"}""")]
    [InlineData("ms-swift", """{"prompt": "q", "completion": "a", "history": [["h", "i"]], "system": "s"}""")]
    [InlineData("ms-swift", """{"question": "q", "answer": "a", "history": [["h", "i"]], "system": "s"}""")]
    [InlineData("alpaca", """{"input": "q", "output": "a", "history": [["h", "i"]], "system": "s"}""")]
    public void Pairs_of_question_and_answer_become_conversations(string shape, string entry) =>
        Assert.Equal(
            ["System:s", "User:h", "Assistant:i", "User:q", "Assistant:a"],
            Assert.Single(Convert(shape, entry)).Messages.Select(message => $"{message.Role}:{message.Content}")
        );

    [Theory]
    [InlineData("alpaca", """{"instruction": "i", "output": ""}""", "the answer is empty")]
    [InlineData("sharegpt", """{"conversations": [{"from": "human", "value": "q"}]}""", "there is no answer")]
    [InlineData("openai", """{"messages": []}""", "'messages' is an empty array")]
    [InlineData("openai", """{"messages": [{"role": "assistant", "content": "a", "weight": 0}]}""", "no answer")]
    [InlineData("alpaca", """{"instruction": "i", "output": "o", "images": ["a.png"]}""", "'images'")]
    [InlineData("ms-swift", """{"query": "q", "response": "a", "rejected_response": "b"}""", "'rejected_response'")]
    [InlineData("ms-swift", """{"query": "q", "prompt": "r", "response": "a"}""", "has 'query' and 'prompt'")]
    [InlineData("alpaca", """{"instruction": "q", "chosen": "a", "rejected": "b"}""", "'chosen': it belongs to")]
    public void No_row_is_written_that_training_refuses(string shape, string entry, string text)
    {
        using var folder = new TemporaryFolder();
        var source = folder.Write("in.json", $"[{entry}]");
        Assert.Contains(
            text,
            Assert
                .Throws<InvalidDataException>(() =>
                    DataConversion.Convert(RowShape.Named(shape), source, folder.At("o"), badRows: BadRows.Skip)
                )
                .Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Empty_answers_and_keys_without_effect_are_counted()
    {
        using var folder = new TemporaryFolder();
        var source = folder.Write(
            "in.json",
            """[{"instruction": "i", "output": "o", "history": [["q", ""]], "id": 1}, {"instruction": "i", "output": ""}]"""
        );
        var report = DataConversion.Convert(
            RowShape.Named("alpaca"),
            source,
            folder.At("out.jsonl"),
            badRows: BadRows.Skip
        );
        Assert.Equal((2, 1, 1, 1), (report.Entries, report.Conversations, report.Skipped, report.EmptyAnswers));
        Assert.Contains("'id' (1 row)", Assert.Single(report.Notes), StringComparison.Ordinal);
        Assert.Contains("entry 2 (line 1)", Assert.Single(report.Problems).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Unknown_shapes_are_refused_with_those_there_are() =>
        Assert.Contains(
            "advertisegen, openai, sharegpt, chatglm3, alpaca, ms-swift, toolalpaca",
            Assert.Throws<ArgumentException>(() => RowShape.Named("x")).Message,
            StringComparison.Ordinal
        );

    private static List<Conversation> Convert(string shape, string content)
    {
        using var folder = new TemporaryFolder();
        DataConversion.Convert(
            RowShape.Named(shape),
            folder.Write("in.json", content.StartsWith('{') ? content.ReplaceLineEndings("") : content),
            folder.At("out.jsonl")
        );
        return ConversationFile.Read(folder.At("out.jsonl"));
    }

    // The reference left spaces at the end of descriptions, and the parameters in a description that has no words of
    // its own.
    private static string Comparable(Conversation conversation) =>
        string.Join(
            '\n',
            conversation.Messages.Select(message =>
                $"{message.Role}|{message.Metadata}|{message.Content}|"
                + string.Join(',', message.Tools.Select(Comparable))
            )
        );

    private static string Comparable(ToolDefinition tool) =>
        Regex.Replace(
            JsonNode.Parse(tool.Json)!.ToJsonString(),
            @"\s+(?="")|(?<="")Parameters: .*?(?="",""parameters"")",
            ""
        );
}
