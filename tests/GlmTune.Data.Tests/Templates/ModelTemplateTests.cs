using GlmTune.Data.Templates;

namespace GlmTune.Data.Tests.Templates;

public class ModelTemplateTests
{
    // A template in the form of those that GLM-4's models come with.
    private const string Usual =
        "[gMASK]<sop>{% for item in messages %}{% if item['tools'] is defined %}<|system|>\n你是一个名为 GLM-4 "
        + "的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具{% set tools = "
        + "item['tools'] %}{% for tool in tools %}{% if tool['type'] == 'function' %}\n\n## {{ "
        + "tool['function']['name'] }}\n\n{{ tool['function'] | tojson(indent=4) }}\n在调用上述函数时，请使用 Json "
        + "格式表示调用的参数。{% elif tool['type'] == 'python' %}\n\n## python\n\n当你向 `python` 发送代码。{% endif %}{% "
        + "endfor %}{% endif %}{% if item['content'] %}<|{{ item['role'] }}|>{{ item['metadata'] }}\n{{ "
        + "item['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

    [Fact]
    public void A_presets_own_template_needs_no_note()
    {
        Assert.Null(Note(null));
        Assert.Null(Note(Usual));
        Assert.Null(Note(Usual.Replace("'python' %}\n\n## python", "'simple_browser' %}\n\n## simple_browser")));
        Assert.Null(Note(Usual.Replace("<|assistant|>", "{# a remark of some words #}<|assistant|>")));
        foreach (var preset in TemplatePreset.All.Where(preset => !preset.IsOfChatGlm3))
        {
            var options = new TemplateOptions { Preset = preset };
            var written = new Glm4Template(TinyTokenizer.Create(), options).ChatTemplate;
            Assert.Null(new Glm4Template(TinyTokenizer.Create(written), options).Note);
        }
    }

    [Theory]
    [InlineData("提供适当的答复和支持。", "只讲笑话。", "你是一个名为")]
    [InlineData("# 可用工具", "# 你的名字是小明", "# 你的名字是小明")]
    [InlineData("<|system|>\n", "<|system|>\nYou are a pirate.", "You are a pirate.")]
    [InlineData("<|assistant|>", "<|im_start|>assistant", "<|im_start|>")]
    [InlineData(
        "{% if add_generation_prompt %}",
        "{{ 'Answer in French.' }}{% if add_generation_prompt %}",
        "Answer in French."
    )]
    public void Text_that_no_preset_writes_is_shown(string replaced, string by, string shown)
    {
        var note = Note(Usual.Replace(replaced, by, StringComparison.Ordinal));
        Assert.Contains("not a known GLM-4 template", note, StringComparison.Ordinal);
        Assert.Contains(shown, note, StringComparison.Ordinal);
        Assert.Contains("'glm-4' is used", note, StringComparison.Ordinal);
    }

    [Fact]
    public void Another_presets_template_is_named() =>
        Assert.Contains(
            "is the preset 'glm-4-mid-2024', but 'glm-4' is used",
            Note(Usual.Replace("名为 GLM-4 的", "名为 ChatGLM 的", StringComparison.Ordinal)),
            StringComparison.Ordinal
        );

    private static string? Note(string? template) =>
        new Glm4Template(TinyTokenizer.Create(template), new TemplateOptions { Preset = TemplatePreset.Default }).Note;
}
