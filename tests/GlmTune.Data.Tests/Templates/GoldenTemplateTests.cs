using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Tests.Templates;

/// <summary>Ids and labels of the real tokenizer against those of the Python demo.</summary>
public class GoldenTemplateTests
{
    [Fact]
    public void Prompts_agree_segment_by_segment() => PromptsAgree(TemplatePreset.Default, "ids_segmented");

    [Fact]
    public void Prompts_agree_when_the_rendered_text_is_parsed() =>
        PromptsAgree(TemplatePreset.Late2024, "ids_from_rendered_text");

    [Fact]
    public void Training_and_evaluation_features_agree()
    {
        var cases = SharedData.Json("glm4/golden_features.json").GetProperty("cases").EnumerateArray().ToList();
        Assert.Equal(22, cases.Count);
        foreach (var golden in cases)
        {
            var template = new Glm4Template(
                SharedData.Glm4,
                new TemplateOptions
                {
                    EndToken = SharedData.Glm4.Special.TextOf(golden.GetProperty("eos_id").GetInt32())!,
                    MaxInputTokens = golden.GetProperty("max_input_length").GetInt32(),
                    MaxOutputTokens = golden.GetProperty("max_output_length").GetInt32(),
                }
            );
            var conversation = Conversation(golden);

            var example = Assert.Single(template.RenderTraining(conversation));
            Assert.Equal(golden.GetProperty("train").Ids("input_ids"), example.TokenIds);
            Assert.Equal(golden.GetProperty("train").Ids("labels"), example.Labels());
            Assert.Equal(example.Labels().Count(label => label != -100), example.SupervisedTokens);

            var rows = template.RenderEvaluation(conversation);
            Assert.Equal(
                golden.GetProperty("eval").EnumerateArray().Select(row => row.Ids("input_ids")),
                rows.Select(row => row.PromptIds)
            );
            Assert.Equal(
                golden.GetProperty("eval").EnumerateArray().Select(row => row.Ids("output_ids")),
                rows.Select(row => row.TargetIds)
            );
        }
    }

    private static void PromptsAgree(TemplatePreset preset, string key)
    {
        var template = new Glm4Template(SharedData.Glm4, new TemplateOptions { Preset = preset });
        var cases = SharedData.Json("glm4/golden_chat_template.json").GetProperty("cases").EnumerateArray().ToList();
        Assert.Equal(11, cases.Count);
        foreach (var golden in cases)
        {
            Assert.Equal(
                golden.Ids(key),
                template.RenderPrompt(Conversation(golden), golden.GetProperty("add_generation_prompt").GetBoolean())
            );
        }
    }

    private static Conversation Conversation(JsonElement golden)
    {
        var messages = JsonSerializer.SerializeToElement(new { messages = golden.GetProperty("messages") });
        var row = ConversationReader.Parse(messages, "golden", new RowPlace(1));
        Assert.Empty(row.Problems);
        return row.Conversation!;
    }
}
