using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Tests.Templates;

public class Glm4TemplateTests
{
    private static readonly Message Question = new(Role.User, "hello");
    private static readonly Message Answer = new(Role.Assistant, "world");

    [Fact]
    public void The_generation_prompt_is_the_assistants_token_alone()
    {
        var tokenizer = TinyTokenizer.Create();
        var ids = new Glm4Template(tokenizer).RenderPrompt(new Conversation([Question]));
        Assert.Equal(
            [
                tokenizer.Special.GMask,
                tokenizer.Special.Sop,
                tokenizer.Special.User,
                '\n',
                .. tokenizer.Encode("hello"),
                tokenizer.Special.Assistant,
            ],
            ids
        );
        Assert.Equal(
            ids[..^1],
            new Glm4Template(tokenizer).RenderPrompt(new Conversation([Question]), addGenerationPrompt: false)
        );
    }

    [Fact]
    public void Special_text_in_content_is_plain_text_by_default_and_a_token_in_the_parsing_presets()
    {
        var tokenizer = TinyTokenizer.Create();
        var conversation = new Conversation([new Message(Role.User, "<|assistant|>")]);
        int Count(TemplatePreset preset) =>
            new Glm4Template(tokenizer, new TemplateOptions { Preset = preset })
                .RenderPrompt(conversation)
                .Count(id => id == tokenizer.Special.Assistant);
        Assert.Equal([1, 1, 2, 2, 1, 1, 1, 1], TemplatePreset.All.Where(preset => !preset.IsOfChatGlm3).Select(Count));
    }

    [Fact]
    public void Evaluation_has_a_row_for_each_answer_with_the_earlier_ones_in_the_prompt()
    {
        var tokenizer = TinyTokenizer.Create();
        var conversation = new Conversation([
            Question,
            Answer,
            Question,
            Answer with
            {
                Loss = false,
            },
            Question,
            Answer,
        ]);
        var template = new Glm4Template(tokenizer);

        var rows = template.RenderEvaluation(conversation);

        Assert.Equal([1, 5], rows.Select(row => row.MessageIndex));
        Assert.Equal(template.RenderPrompt(new Conversation([.. conversation.Messages.Take(5)])), rows[1].PromptIds);
        Assert.Equal(['\n', .. tokenizer.Encode("world"), tokenizer.Special.User], rows[1].TargetIds);
        Assert.Equal(2, template.CountAnswers(conversation));
    }

    [Fact]
    public void Last_answer_only_evaluates_the_last_answer_from_the_same_prompt()
    {
        var conversation = new Conversation([Question, Answer, Question, Answer, Question]);
        var all = new Glm4Template(TinyTokenizer.Create()).RenderEvaluation(conversation);
        var last = Assert.Single(
            new Glm4Template(
                TinyTokenizer.Create(),
                new TemplateOptions { SupervisedAnswers = SupervisedAnswers.Last }
            ).RenderEvaluation(conversation)
        );
        Assert.Equal(all[1].PromptIds, last.PromptIds);
        Assert.Equal(all[1].TargetIds, last.TargetIds);
    }

    [Fact]
    public void An_answer_whose_prompt_is_too_long_is_not_evaluated_and_a_long_reference_is_cut()
    {
        var template = new Glm4Template(
            TinyTokenizer.Create(),
            new TemplateOptions { MaxInputTokens = 6, MaxOutputTokens = 3 }
        );
        var row = Assert.Single(template.RenderEvaluation(new Conversation([Question, Answer, Question, Answer])));
        Assert.Equal(6, row.PromptIds.Length);
        Assert.Equal((3, true), (row.TargetIds.Length, row.IsCut));
    }

    [Theory]
    // [gMASK]<sop><|user|>⏎hello<|assistant|>⏎, 5 tokens of world, <|user|>: 13 tokens
    [InlineData(12, false, false, 6)]
    [InlineData(11, true, true, 6)]
    [InlineData(7, true, true, 1)]
    [InlineData(6, true, true, 0)]
    public void A_cut_counts_what_it_takes(int limit, bool cut, bool lostItsEnd, int supervised)
    {
        var template = new Glm4Template(
            TinyTokenizer.Create(),
            new TemplateOptions { MaxInputTokens = limit - 2, MaxOutputTokens = 1 }
        );
        var example = template
            .RenderTraining(new Conversation([Question, new Message(Role.Assistant, "wxyz")]))
            .Single();
        Assert.Equal(12, example.FullLength);
        Assert.Equal((limit, cut, lostItsEnd), (example.TokenIds.Length, example.IsCut, example.LostItsEnd));
        Assert.Equal(Math.Min(supervised, limit - 6), example.SupervisedTokens);
    }

    [Fact]
    public void A_cut_that_takes_nothing_learnt_is_no_lost_end()
    {
        var template = new Glm4Template(
            TinyTokenizer.Create(),
            new TemplateOptions { MaxInputTokens = 15, MaxOutputTokens = 1 }
        );
        var example = template
            .RenderTraining(
                new Conversation([
                    Question,
                    new Message(Role.Assistant, "wxyz"),
                    new Message(Role.User, new string('?', 50)),
                ])
            )
            .Single();
        Assert.Equal((true, false, 6), (example.IsCut, example.LostItsEnd, example.SupervisedTokens));
    }

    [Fact]
    public void A_built_in_tools_text_is_that_of_the_models_chat_template()
    {
        const string section =
            "{% if tool['type'] == 'python' %}\n\n## python\n\nRuns.{% elif tool['type'] == 'cogview' %}";
        var system = new Message(Role.System, "") { Tools = [new ToolDefinition("python", "python", "")] };
        var tokenizer = TinyTokenizer.Create(section);
        var template = new Glm4Template(tokenizer, new TemplateOptions { Preset = TemplatePreset.Default });
        var text = tokenizer.Decode(template.RenderPrompt(new Conversation([system])));
        Assert.EndsWith("可用工具\n\n## python\n\nRuns.", text, StringComparison.Ordinal);

        var error = Assert.Throws<InvalidDataException>(() =>
            new Glm4Template(TinyTokenizer.Create()).RenderPrompt(new Conversation([system]))
        );
        Assert.Contains("no text for the built-in tool 'python'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void All_built_in_tools_of_GLM4_have_their_text()
    {
        var system = new Message(Role.System, "")
        {
            Tools = [.. ToolDefinition.BuiltIn.Select(type => new ToolDefinition(type, type, ""))],
        };
        foreach (var preset in TemplatePreset.All.Where(preset => preset.IsOfGlm4))
        {
            var text = SharedData.Glm4.Decode(
                new Glm4Template(SharedData.Glm4, new TemplateOptions { Preset = preset }).RenderPrompt(
                    new Conversation([system])
                )
            );
            var breaks = new string('\n', preset.NewlinesBeforeTool);
            Assert.Contains($"{breaks}## python\n\n当你向 `python` 发送", text, StringComparison.Ordinal);
            Assert.Contains(
                $"也可以再次使用 `search` 进行搜索。{breaks}## cogview\n\n如果用户",
                text,
                StringComparison.Ordinal
            );
            Assert.EndsWith("社会主义价值观。", text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Rendering_keeps_a_tools_key_order_and_numbers()
    {
        var tool = ToolDefinition.Read(
            JsonDocument
                .Parse("""{"type": "function", "function": {"name": "f", "z": 1e5, "a": {"b": null}}}""")
                .RootElement
        );
        var tokenizer = TinyTokenizer.Create();
        var text = tokenizer.Decode(
            new Glm4Template(tokenizer).RenderPrompt(
                new Conversation([new Message(Role.System, "") { Tools = [tool] }])
            )
        );
        Assert.Contains(
            "## f\n\n{\n    \"name\": \"f\",\n    \"z\": 100000.0,\n    \"a\": {\n        \"b\": null\n    }\n}\n在调用",
            text,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Unknown_names_are_refused_with_those_there_are()
    {
        Assert.Contains(
            "glm-4-june-2024",
            Assert.Throws<ArgumentException>(() => TemplatePreset.Named("glm5")).Message,
            StringComparison.Ordinal
        );
        Assert.Same(TemplatePreset.Default, TemplatePreset.Named("GLM-4"));
        Assert.Throws<ArgumentException>(() =>
            new Glm4Template(TinyTokenizer.Create(), new TemplateOptions { EndToken = "</s>" })
        );
    }
}
