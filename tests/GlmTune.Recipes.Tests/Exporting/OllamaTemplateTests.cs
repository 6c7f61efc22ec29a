using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Recipes.Exporting;

namespace GlmTune.Recipes.Tests.Exporting;

public sealed partial class OllamaTemplateTests
{
    private const string Frame =
        "[gMASK]<sop>{% for m in messages %}{% if m.role == 'system' %}<|system|>\n{{ m.content }}"
        + "{% elif m.role == 'user' %}<|user|>\n{{ m.content }}{% else %}<|assistant|>\n{{ m.content }}{% endif %}"
        + "{% endfor %}{% if add_generation_prompt %}<|assistant|>";

    private static readonly Message[] Messages =
    [
        new(Role.System, "Be brief.\nPlease."),
        new(Role.User, "Hi"),
        new(Role.Assistant, "Hello"),
        new(Role.User, "再见"),
        new(Role.Assistant, "Bye {{ }}"),
        new(Role.User, "?"),
    ];

    [Theory]
    [InlineData("glm-4", null, "\n")] // the model begins a plain answer with this line break
    [InlineData("glm-4-late-2024", null, "\n")]
    [InlineData("model", Frame + "{% endif %}", "\n")]
    [InlineData("model", Frame + "\n<think>{% endif %}", "")]
    public void A_conversation_is_rendered_as_by_the_template(string preset, string? own, string more)
    {
        var template = Template(preset, own);
        var text = OllamaTemplate.Write(template)!;
        foreach (var messages in new[] { Messages, Messages[1..2], Messages[1..4] })
        {
            var expected = template.Tokenizer.Decode(
                template.RenderPrompt(new Conversation(messages)),
                skipSpecial: false
            );
            Assert.Equal(expected + more, Render(text, messages));
        }
    }

    [Theory]
    [InlineData("{% for m in messages %}{{ m.role }}: {{ m.content | trim | upper }}{% endfor %}")]
    [InlineData("{% for m in messages %}{{ loop.index }}{{ m.content }}{% endfor %}")]
    [InlineData("{% for m in messages %}<|user|>{{ m.content }}{{ '{{' }}{% endfor %}")]
    [InlineData("{% for m in messages %}{% if loop.last %}{{ m.content }}{% endif %}{% endfor %}")]
    public void A_template_of_another_shape_is_not_guessed(string own) =>
        Assert.Null(OllamaTemplate.Write(Template("model", own)));

    private static Glm4Template Template(string preset, string? own)
    {
        byte[][] bytes = [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value })];
        return new Glm4Template(
            new Tokenizer(bytes, SpecialTokens.After(256)) { ChatTemplate = own },
            new TemplateOptions { Preset = TemplatePreset.Named(preset) }
        );
    }

    // What Go's text/template makes of the forms that are used.
    private static string Render(string template, Message[] messages)
    {
        var parts = template.Split(["{{ range .Messages }}", "{{ end }}{{ end }}"], StringSplitOptions.None);
        Assert.Equal(3, parts.Length);
        var headers = Branch()
            .Matches(parts[1])
            .ToDictionary(match => match.Groups["role"].Value, match => match.Groups["header"].Value);
        Assert.Equal(["assistant", "system", "user"], headers.Keys.Order());
        return parts[0]
            + string.Concat(
                messages.Select(message => headers[message.Role.ToString().ToLowerInvariant()] + message.Content)
            )
            + parts[2];
    }

    [GeneratedRegex(
        """\{\{ (?:else )?if eq \.Role "(?<role>\w+)" \}\}(?<header>.*?)\{\{ \.Content \}\}""",
        RegexOptions.Singleline
    )]
    private static partial Regex Branch();
}
