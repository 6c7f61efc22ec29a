using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Tests.Templates;

public class JinjaTemplateTests
{
    private const string BuiltIn =
        "{% if tool['type'] == 'function' %}\n\n## f{% elif tool['type'] == 'python' %}\n\n## python\n\nDon't \\ "
        + "stop.{% elif tool['type'] == 'cogview' %}\n\n## cogview\n\nDraws.{% endif %}";

    // This text was rendered by jinja2 3.1 with transformers' settings for the 11 reference conversations, and gave the
    // default preset's text for each.
    [Fact]
    public void The_template_is_the_one_that_was_compared_with_the_reference() =>
        Assert.Equal(
            string.Concat(
                "{%- macro declare(tools) -%}",
                "{{- '<|system|>\\n你是一个名为 GLM-4 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\\n\\n# "
                    + "可用工具' -}}",
                "{%- for tool in tools -%}{%- set function = tool.function if tool.function else tool -%}",
                "{{- '\\n\\n## ' + function.name + '\\n\\n' + function | tojson(indent=4) + '\\n在调用上述函数时，请使用 Json "
                    + "格式表示调用的参数。' -}}",
                "{%- endfor -%}{%- endmacro -%}{{- '[gMASK]<sop>' -}}{%- if tools -%}{{- declare(tools) -}}{%- endif "
                    + "-%}",
                "{%- for message in messages -%}{%- if message.tools -%}{{- declare(message.tools) -}}{%- endif -%}",
                "{%- set role = 'observation' if message.role == 'tool' else message.role -%}",
                "{%- if message.content -%}{{- '<|' + role + '|>' + (message.metadata or '') + '\\n' + message.content "
                    + "-}}{%- endif -%}",
                "{%- for call in message.tool_calls or [] -%}{{- '<|assistant|>' + call.function.name + '\\n' -}}",
                "{{- call.function.arguments if call.function.arguments is string else call.function.arguments | "
                    + "tojson -}}{%- endfor -%}{%- endfor -%}",
                "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
            ),
            new Glm4Template(TinyTokenizer.Create()).ChatTemplate
        );

    [Fact]
    public void Presets_differ_in_their_texts()
    {
        var templates = TemplatePreset
            .All.Where(preset => preset.IsOfGlm4)
            .Select(preset =>
                new Glm4Template(TinyTokenizer.Create(), new TemplateOptions { Preset = preset }).ChatTemplate
            )
            .ToList();
        Assert.Contains("名为 GhatGLM 的", templates[1], StringComparison.Ordinal);
        Assert.Contains("名为 ChatGLM 的", templates[2], StringComparison.Ordinal);
        Assert.Contains("{{- '\\n## ' + function.name", templates[3], StringComparison.Ordinal);
        Assert.DoesNotContain("# 可用工具", templates[4], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_exported_model_keeps_the_texts_of_its_built_in_tools(bool library)
    {
        using var folder = new TemporaryFolder();
        var tokenizer = TinyTokenizer.Create(BuiltIn);
        var template = new Glm4Template(tokenizer, new TemplateOptions { Preset = TemplatePreset.Default });
        (library ? (Action<Tokenizer, string, string?>)TokenizerFile.WriteLibrary : TokenizerFile.WriteOriginal)(
            tokenizer,
            folder.Path,
            template.ChatTemplate
        );

        var exported = new Glm4Template(TokenizerFile.Read(folder.Path));

        var conversation = new Conversation([
            new Message(Role.System, "")
            {
                Tools = [new ToolDefinition("cogview", "cogview", ""), new ToolDefinition("python", "python", "")],
            },
        ]);
        Assert.EndsWith(
            "\n\n## cogview\n\nDraws.\n\n## python\n\nDon't \\ stop.",
            tokenizer.Decode(template.RenderPrompt(conversation, addGenerationPrompt: false)),
            StringComparison.Ordinal
        );
        Assert.Equal(template.RenderPrompt(conversation), exported.RenderPrompt(conversation));
        Assert.Equal(template.ChatTemplate, exported.ChatTemplate);
    }
}
