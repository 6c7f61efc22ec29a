using System.Text;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

/// <summary>Thoughts in rows of data.</summary>
public class ReasoningTests
{
    private const string Question = """{"role": "user", "content": "a"}""";

    [Theory]
    [InlineData("reasoning_content")]
    [InlineData("reasoning")]
    public void Thoughts_belong_to_the_first_message_that_the_assistants_becomes(string key)
    {
        var row = Read(
            Question,
            $$"""{"role": "assistant", "content": "b", "{{key}}": " Hm. ", "function_call": {"name": "f"} }"""
        );
        Assert.Empty(row.Problems);
        Assert.Equal(["", "Hm.", ""], row.Conversation!.Messages.Select(message => message.Reasoning));
    }

    [Fact]
    public void Written_rows_keep_them()
    {
        var row = Read(Question, """{"role": "assistant", "content": "b", "reasoning_content": "Hm."}""");
        using var stream = new MemoryStream();
        ConversationWriter.WriteLine(stream, row.Conversation!);
        Assert.Equal(
            $$"""{"messages":[{"role":"user","content":"a"},{"role":"assistant","reasoning_content":"Hm.","content":"b"}]}"""
                + "\n",
            Encoding.UTF8.GetString(stream.ToArray())
        );
    }

    [Theory]
    [InlineData("\"user\", \"content\": \"b\", \"reasoning_content\": \"c\"", "on a message with role 'user'")]
    [InlineData(
        "\"tool\", \"content\": \"b\", \"reasoning\": \"c\"",
        "'reasoning' on a message with role 'observation'"
    )]
    [InlineData("\"assistant\", \"content\": \"b\", \"reasoning_content\": [1]", "'reasoning_content' is")]
    [InlineData("\"assistant\", \"content\": \"\", \"reasoning_content\": \"c\"", "without an answer")]
    [InlineData("\"assistant\", \"content\": \"<think>b</think>d\", \"reasoning_content\": \"c\"", "Keep one of them")]
    [InlineData("\"assistant\", \"content\": \"b\", \"reasoning_content\": \"<think>c\"", "contains '<think>'")]
    [InlineData(
        "\"assistant\", \"content\": \"b\", \"reasoning_content\": \"c\", \"reasoning\": \"d\"",
        "with different values"
    )]
    [InlineData("\"assistant\", \"content\": \"b\", \"thoughts\": \"c\"", "Rename the key")]
    public void Misuse_is_told_by_name(string member, string said)
    {
        var problem = Assert.Single(Read(Question, $$"""{"role": {{member}}}""").Problems);
        Assert.Equal(1, problem.Message);
        Assert.Contains(said, problem.Text, StringComparison.Ordinal);
    }

    private static ConversationRow Read(params string[] messages)
    {
        using var folder = new TemporaryFolder();
        var path = Path.Combine(folder.Path, "rows.jsonl");
        File.WriteAllText(path, $$"""{"messages": [{{string.Join(',', messages)}}]}""");
        return Assert.Single(ConversationFile.Rows(path));
    }
}
