using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Tests.Templates;

public class AutomaticTemplateTests
{
    private const string Frame =
        "[gMASK]<sop>{% for m in messages %}{% if m.content %}<|{{ m.role }}|>{{ m.metadata }}\n{{ m.content }}"
        + "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

    // In the form of GLM-4-0414's: a heading, no introduction, and tools beside the messages.
    private const string LaterTools =
        "[gMASK]<sop>{% if tools %}<|system|>\n# 可用工具\n\n{% for tool in tools %}## "
        + "{{ tool.function.name }}\n\n{{ tool.function | tojson(indent=4, ensure_ascii=False) }}\n"
        + "在调用上述函数时，请使用 Json 格式表示调用的参数。"
        + "{% endfor %}{% endif %}";

    private static readonly Conversation Asked = new([
        new Message(Role.System, "") { Tools = [new ToolDefinition("function", "rain", """{"name": "rain"}""")] },
        new Message(Role.User, "Dry?"),
        new Message(Role.Assistant, "Yes."),
    ]);

    [Fact]
    public void A_model_without_a_template_of_its_own_uses_the_preset() =>
        Assert.Equal(TemplatePreset.Default, Chosen(null));

    [Fact]
    public void Every_presets_own_template_is_taken_for_GLM_4s_or_its_own()
    {
        foreach (var preset in TemplatePreset.All.Where(preset => !preset.IsOfChatGlm3))
        {
            var written = new Glm4Template(
                TinyTokenizer.Create(),
                new TemplateOptions { Preset = preset }
            ).ChatTemplate;
            Assert.Equal(preset.IsOfGlm4 ? TemplatePreset.Default : preset, Chosen(written));
        }
    }

    [Fact]
    public void A_template_of_the_same_frame_that_shows_no_tools_leaves_them_to_the_preset() =>
        Assert.Equal(TemplatePreset.Default, Chosen(Frame));

    [Fact]
    public void Tools_that_look_different_call_for_the_models_own_template()
    {
        var template = new Glm4Template(
            TinyTokenizer.Create(LaterTools + Frame.Replace("[gMASK]<sop>", "", StringComparison.Ordinal))
        );
        Assert.Equal(TemplatePreset.Model, template.Options.Preset);
        Assert.Contains("is run as it is", template.Note, StringComparison.Ordinal);
        var text = template.Tokenizer.Decode(template.RenderTraining(Asked).Single().TokenIds);
        Assert.Contains("# 可用工具\n\n## rain", text, StringComparison.Ordinal);
        Assert.DoesNotContain("人工智能助手", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("<|assistant|>{% endif %}", "<|assistant|>\n<think>{% endif %}")]
    [InlineData("\n{{ m.content }}", "{{ m.content }}")]
    [InlineData("[gMASK]<sop>", "[gMASK]<sop>{{ raise_exception('no') if messages|length > 3 }}")]
    [InlineData("[gMASK]<sop>", "[gMASK]<sop><|system|>\nYou are a pirate.")]
    public void A_template_that_writes_something_else_is_run(string replaced, string by) =>
        Assert.Equal(TemplatePreset.Model, Chosen(Frame.Replace(replaced, by, StringComparison.Ordinal)));

    [Fact]
    public void A_preset_that_was_asked_for_stays()
    {
        var foreign = Frame + "You are a pirate.";
        foreach (var preset in TemplatePreset.All.Where(preset => !preset.IsOfChatGlm3))
        {
            var template = new Glm4Template(TinyTokenizer.Create(foreign), new TemplateOptions { Preset = preset });
            Assert.Equal(preset, template.Options.Preset);
            Assert.Contains($"'{preset.Name}' is used", template.Note, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_template_that_is_needed_and_cannot_be_read_says_what_to_do()
    {
        var error = Assert.Throws<InvalidDataException>(() => Chosen("You are a pirate. {% if %}"));
        Assert.Contains("line 1", error.Message, StringComparison.Ordinal);
        Assert.Contains("Set 'template' to a preset", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_published_tokenizer_of_GLM_4_keeps_the_preset_and_needs_no_note()
    {
        var template = new Glm4Template(SharedData.Glm4);
        Assert.Equal(TemplatePreset.Default, template.Options.Preset);
        Assert.Null(template.Note);
    }

    private static TemplatePreset Chosen(string? template) =>
        new Glm4Template(TinyTokenizer.Create(template)).Options.Preset;
}
