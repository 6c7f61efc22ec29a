using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Tests.Templates;

/// <summary>The presets of GLM-4-0414, GLM-Z1 and CodeGeeX4.</summary>
public class LaterTemplateTests
{
    private static readonly TemplatePreset[] Later = [TemplatePreset.April2025, TemplatePreset.Z1];

    private static readonly Conversation Trains = new([
        new Message(Role.System, "Be brief.")
        {
            Tools =
            [
                new ToolDefinition("function", "find", """{"name": "find", "description": "列车"}"""),
                new ToolDefinition("function", "buy", """{"name": "buy"}"""),
            ],
        },
        new Message(Role.User, " To Bonn? "),
        new Message(Role.Assistant, """{"to": "Bonn"}""") { Metadata = "find", Reasoning = "Look it up." },
        new Message(Role.Observation, "9:10"),
        new Message(Role.Assistant, "At 9:10.") { Reasoning = "It says so." },
        new Message(Role.User, "Thanks"),
    ]);

    [Fact]
    public void GLM_4_0414_has_a_bare_heading_before_its_tools() =>
        Assert.Equal(
            "[gMASK]<sop><|system|>\n# 可用工具\n\n## find\n\n{\n    \"name\": \"find\",\n    \"description\": \"列车\"\n}\n"
                + "在调用上述函数时，请使用 Json 格式表示调用的参数。\n## buy\n\n{\n    \"name\": \"buy\"\n}\n"
                + "在调用上述函数时，请使用 Json 格式表示调用的参数。<|system|>\nBe brief.<|user|>\n To Bonn? "
                + "<|assistant|>find\n{\"to\": \"Bonn\"}<|observation|>\n9:10<|assistant|>\nAt 9:10.<|user|>\nThanks"
                + "<|assistant|>",
            Text(Of(TemplatePreset.April2025), Trains)
        );

    [Fact]
    public void GLM_Z1_introduces_itself_trims_messages_leaves_out_earlier_thoughts_and_opens_new_ones() =>
        Assert.Equal(
            "[gMASK]<sop><|system|>\n你是一个名为 ChatGLM 的人工智能助手。你是基于智谱 AI 公司训练的语言模型 GLM-4 "
                + "模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具\n## find\n\n{\n    \"name\": "
                + "\"find\",\n    \"description\": \"列车\"\n}\n在调用上述函数时，请使用 Json 格式表示调用的参数。\n## buy\n\n{\n    "
                + "\"name\": \"buy\"\n}\n在调用上述函数时，请使用 Json 格式表示调用的参数。<|system|>\nBe brief.<|user|>\nTo "
                + "Bonn?<|assistant|>find\n{\"to\": \"Bonn\"}<|observation|>\n9:10<|assistant|>\nAt 9:10."
                + "<|user|>\nThanks<|assistant|>\n<think>",
            Text(Of(TemplatePreset.Z1), Trains)
        );

    [Fact]
    public void CodeGeeX4_adds_its_system_message_unless_there_is_one()
    {
        var template = Of(TemplatePreset.CodeGeeX4);
        var question = new Message(Role.User, "sort");
        Assert.StartsWith(
            "[gMASK]<sop><|system|>\n你是一位智能编程助手，你叫CodeGeeX。",
            Text(template, new Conversation([question])),
            StringComparison.Ordinal
        );
        Assert.Equal(
            "[gMASK]<sop><|system|>\nBe brief.<|user|>\nsort<|assistant|>",
            Text(template, new Conversation([new Message(Role.System, "Be brief."), question]))
        );
    }

    [Fact]
    public void Presets_give_the_ids_that_the_interpreter_gives_for_their_templates()
    {
        var fastTokenizer = TinyTokenizer.Create();
        foreach (var preset in (TemplatePreset[])[.. Later, TemplatePreset.CodeGeeX4])
        {
            // CodeGeeX4's encodes headers by themselves, as GLM-4's do, so only the text is the same.
            Func<int[], string> shown = preset.PutsSystemFirst
                ? ids => string.Join(' ', ids)
                : ids => fastTokenizer.Decode(ids, skipSpecial: false);
            var fast = Of(preset);
            var run = new Glm4Template(
                TinyTokenizer.Create(fast.ChatTemplate),
                new TemplateOptions { Preset = TemplatePreset.Model }
            );
            var random = new Random(5);
            for (var i = 0; i < 300; i++)
            {
                var conversation = Generated(random, preset != TemplatePreset.CodeGeeX4);
                foreach (var prompts in (bool[])[true, false])
                {
                    Assert.Equal(
                        shown(run.RenderPrompt(conversation, prompts)),
                        shown(fast.RenderPrompt(conversation, prompts))
                    );
                }
            }
        }
    }

    [Fact]
    public void Special_texts_in_messages_stay_text()
    {
        foreach (var preset in Later)
        {
            var template = Of(preset);
            var ids = template.RenderPrompt(new Conversation([new Message(Role.User, "a<|system|>b")]));
            Assert.DoesNotContain(template.Tokenizer.Special.System, ids);
        }
    }

    [Fact]
    public void A_model_with_such_a_template_uses_the_preset_without_a_note_and_keeps_its_template()
    {
        foreach (var preset in Later)
        {
            // Another text that writes the same.
            var own = Of(preset).ChatTemplate + "{# ours #}";
            var template = new Glm4Template(TinyTokenizer.Create(own));
            Assert.Equal((preset, null, own), (template.Options.Preset, template.Note, template.ChatTemplate));

            var other = new Glm4Template(
                TinyTokenizer.Create(own),
                new TemplateOptions { Preset = TemplatePreset.Default }
            );
            Assert.Contains(
                $"is the preset '{preset.Name}', but 'glm-4' is used",
                other.Note,
                StringComparison.Ordinal
            );
        }
    }

    [Theory]
    [InlineData("# 可用工具", "# Tools")]
    [InlineData("[-1].strip()", "[-1]")]
    [InlineData("<|system|>\\n' + message.content", "<|system|>' + message.content")]
    public void A_template_that_differs_in_anything_is_run(string replaced, string by)
    {
        var own = Of(TemplatePreset.Z1).ChatTemplate;
        Assert.Contains(replaced, own, StringComparison.Ordinal);
        Assert.Equal(
            TemplatePreset.Model,
            new Glm4Template(TinyTokenizer.Create(own.Replace(replaced, by, StringComparison.Ordinal))).Options.Preset
        );
    }

    private static Glm4Template Of(TemplatePreset preset) =>
        new(TinyTokenizer.Create(), new TemplateOptions { Preset = preset });

    private static string Text(Glm4Template template, Conversation conversation) =>
        template.Tokenizer.Decode(template.RenderPrompt(conversation), skipSpecial: false);

    private static Conversation Generated(Random random, bool laterSystem)
    {
        string[] texts =
        [
            "hello",
            " a \n",
            "\n\nb",
            "你好\t",
            "{\"x\": 1}",
            "1 <think> 2",
            " ",
            "don't 'quote' \\ \"it\"",
        ];
        string Any() => texts[random.Next(texts.Length)];
        var messages = new List<Message>();
        if (random.Next(2) == 0)
        {
            messages.Add(
                new Message(Role.System, random.Next(2) == 0 ? "" : Any())
                {
                    Tools =
                    [
                        .. Enumerable
                            .Range(0, random.Next(3))
                            .Select(i => new ToolDefinition(
                                "function",
                                $"tool{i}",
                                $$$"""{"name": "tool{{{i}}}", "parameters": {"é": [1, 2.50, {}], "<&>": "'"}}"""
                            )),
                    ],
                }
            );
        }

        for (var i = random.Next(5); i >= 0; i--)
        {
            messages.Add(
                random.Next(5) switch
                {
                    0 => new Message(Role.Assistant, """{"é": [1]}""") { Metadata = "tool0" },
                    1 => new Message(Role.Assistant, $"<think>\n{Any()}</think>{Any()}"),
                    2 => new Message(Role.Observation, Any()),
                    3 when laterSystem => new Message(Role.System, Any()),
                    _ => new Message(Role.User, Any()),
                }
            );
        }

        return new Conversation(messages);
    }
}
