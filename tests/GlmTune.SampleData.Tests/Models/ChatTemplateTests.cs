using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;

namespace GlmTune.SampleData.Models;

public sealed class ChatTemplateTests
{
    private static readonly Tokenizer Tokenizer = TokenizerFile.Read(Committed.Path("models/glm-nano"));
    private static readonly List<Data.Conversations.Conversation> ToolRows = ConversationFile.Read(
        Committed.Path("data/tools/dev.jsonl")
    );

    // Jinja itself was compared with the reference encodings when the template was written; this keeps its texts from
    // drifting.
    [Fact]
    public void Its_texts_are_those_that_training_puts_around_the_tools()
    {
        var template = new Glm4Template(Tokenizer);
        foreach (var row in ToolRows)
        {
            var text = Tokenizer.Decode(template.RenderPrompt(row), skipSpecial: false);

            Assert.StartsWith(
                $"[gMASK]<sop><|system|>\n{ChatTemplate.ToolPreamble}\n\n## ",
                text,
                StringComparison.Ordinal
            );
            Assert.Contains($"}}\n{ChatTemplate.AfterTool}<|user|>\n", text, StringComparison.Ordinal);
            Assert.EndsWith("<|assistant|>", text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_committed_template_is_read_with_the_tokenizer()
    {
        Assert.Equal(ChatTemplate.Jinja, Tokenizer.ChatTemplate);
        Assert.Contains(
            ChatTemplate.ToolPreamble.Replace("\n", "\\n", StringComparison.Ordinal),
            ChatTemplate.Jinja,
            StringComparison.Ordinal
        );
        Assert.Contains(ChatTemplate.AfterTool, ChatTemplate.Jinja, StringComparison.Ordinal);
    }
}
