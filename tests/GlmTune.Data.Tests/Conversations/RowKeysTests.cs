using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class RowKeysTests
{
    private const string Turns =
        """{"role": "user", "content": "北京今天冷吗"}, {"role": "assistant", "content": "零下三度"}""";

    [Theory]
    [InlineData("\"images\": [\"a.png\"]")]
    [InlineData("\"Image\": \"a.png\"")]
    [InlineData("\"videos\": [\"a.mp4\"]")]
    [InlineData("\"audios\": [\"a.wav\"]")]
    [InlineData("\"label\": true")]
    [InlineData("\"chosen\": \"好\"")]
    [InlineData("\"rejected\": {\"role\": \"assistant\"}")]
    [InlineData("\"rejected_response\": \"差\"")]
    [InlineData("\"loss_mask\": [1]")]
    [InlineData("\"train\": false")]
    [InlineData("\"mask\": 0")]
    [InlineData("\"reasoning_content\": \"想\"")]
    [InlineData("\"history\": [[\"问\", \"答\"]]")]
    [InlineData("\"weight\": 0.3")]
    [InlineData("\"reward\": -1.5")]
    [InlineData("\"preference\": \"a\"")]
    [InlineData("\"sample_weight\": 2.0")]
    [InlineData("\"assistant_masks\": [0, 1]")]
    [InlineData("\"video_url\": \"a\"")]
    [InlineData("\"input_ids\": [1]")]
    public void A_key_of_a_row_that_changes_what_is_learnt_is_refused_by_name(string member)
    {
        var row = Read($$"""{"messages": [{{Turns}}], {{member}}}""");
        var problem = Assert.Single(row.Problems);
        Assert.StartsWith(member[..member.IndexOf(':')].Replace('"', '\''), problem.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"image\": \"a.png\"")]
    [InlineData("\"cot\": \"想\"")]
    [InlineData("\"thinking\": \"想\"")]
    [InlineData("\"loss_mask\": 0")]
    [InlineData("\"train\": false")]
    [InlineData("\"prefix\": true")]
    [InlineData("\"Loss\": false")]
    public void So_is_a_key_of_a_message(string member)
    {
        var row = Read(
            $$"""{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", {{member}}}]}"""
        );
        var problem = Assert.Single(row.Problems);
        Assert.Equal(1, problem.Message);
        Assert.StartsWith(member[..member.IndexOf(':')].Replace('"', '\''), problem.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Empty_values_say_nothing_and_other_keys_are_counted()
    {
        var row = Read(
            """
            {"messages": [{"role": "user", "content": "a", "image": null, "name": "Li"},
            {"role": "assistant", "content": "b", "timestamp": 3, "reasoning_content": ""}],
            "images": [], "label": null, "id": 7, "source": "web"}
            """
        );
        Assert.Empty(row.Problems);
        Assert.Equal(
            ["id", "messages.name", "messages.timestamp", "source"],
            row.IgnoredKeys.Order(StringComparer.Ordinal)
        );
    }

    [Theory]
    [InlineData("\"weight\": 0", false)]
    [InlineData("\"weight\": 1", true)]
    [InlineData("\"loss_weight\": 0.0", false)]
    [InlineData("\"loss_weight\": 1.0", true)]
    [InlineData("\"loss_scale\": 0", false)]
    [InlineData("\"loss\": false", false)]
    [InlineData("\"loss\": true, \"weight\": 1", true)]
    [InlineData("\"weight\": null", null)]
    public void Whether_the_loss_covers_a_message_is_read_under_each_of_its_names(string member, bool? expected)
    {
        var row = Read($$"""{"messages": [{"role": "assistant", "content": "b", {{member}}}]}""");
        Assert.Equal(expected, Assert.Single(row.Conversation!.Messages).Loss);
    }

    [Theory]
    [InlineData("assistant", "\"weight\": 0.5", "'weight' is 0.5; expected 0 or 1")]
    [InlineData("assistant", "\"loss_scale\": \"last\"", "'loss_scale' is a string; expected 0 or 1")]
    [InlineData("assistant", "\"loss\": true, \"weight\": 0", "'loss' and 'weight' contradict each other")]
    [InlineData("user", "\"weight\": 1", "'weight' is 1 on a message that is not an answer")]
    public void What_cannot_be_honoured_of_it_is_refused(string role, string member, string text)
    {
        var row = Read($$"""{"messages": [{"role": "{{role}}", "content": "b", {{member}}}]}""");
        Assert.Contains(text, Assert.Single(row.Problems).Text, StringComparison.Ordinal);
    }

    [Fact]
    public void System_text_and_tools_beside_the_messages_are_honoured()
    {
        var row = Read($$"""{"system": "你是导游", "tools": "[{\"name\": \"map\"}]", "messages": [{{Turns}}]}""");
        var system = row.Conversation!.Messages[0];
        Assert.Equal((Role.System, "你是导游", "map"), (system.Role, system.Content, Assert.Single(system.Tools).Name));
        Assert.Contains(
            "differs from the system message",
            Assert.Single(Read("""{"system": "a", "messages": [{"role": "system", "content": "b"}]}""").Problems).Text,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("""{"messages": [{"role": "user", "role": "assistant", "content": "a"}]}""", "duplicate key 'role'")]
    [InlineData("""{"messages": [], "messages": [{"role": "user"}]}""", "duplicate key 'messages'")]
    public void A_key_that_is_there_twice_is_an_error(string row, string text) =>
        Assert.Contains(text, Assert.Single(Read(row).Problems).Text, StringComparison.Ordinal);

    private static ConversationRow Read(string row)
    {
        using var folder = new TemporaryFolder();
        return Assert.Single(ConversationFile.Rows(folder.Write("a.jsonl", row.ReplaceLineEndings(" "))).ToList());
    }
}
